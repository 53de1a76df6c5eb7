"""How an agent says that it cannot answer."""


class TaskError(Exception):
    """Fails the task with a message that viewers read; `code` tells programs why.

    With `retry` the service tries it again after a pause, unless this was the last attempt: then
    the task fails with this very message. Any other exception shows viewers a general sentence
    and stays in the worker's log.
    """

    def __init__(self, message: str, *, code: str = "agent_failed", retry: bool = False) -> None:
        self.message = message
        self.code = code
        self.retry = retry
        super().__init__(message)


class AskExpired(TaskError):
    """Nobody answered a question in time; uncaught it fails the task with `ask_expired`."""

    def __init__(self) -> None:
        super().__init__("Nobody answered the question in time.", code="ask_expired")
