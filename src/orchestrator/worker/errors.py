"""How an agent says that it cannot answer."""


class TaskError(Exception):
    """Fails the task with a message that viewers read; `code` tells programs why.

    Any other exception shows viewers a general sentence and stays in the worker's log.
    """

    def __init__(self, message: str, *, code: str = "agent_failed") -> None:
        self.message = message
        self.code = code
        super().__init__(message)
