"""How an agent says that it cannot answer."""

from typing import Any


class TaskError(Exception):
    """Fails the task with a message that viewers read; `code` tells programs why.

    With `retry` the service tries it again after a pause, unless this was the last attempt: then
    the task fails with this very message. Any other exception shows viewers a general sentence
    and stays in the worker's log.
    """

    def __init__(self, message: str, *, code: str = "agent_failed", retry: bool = False) -> None:
        self.message = _text(message)
        self.code = _text(code)
        self.retry = bool(retry)
        super().__init__(self.message)


class AskExpired(TaskError):
    """Nobody answered a question in time; uncaught it fails the task with `ask_expired`."""

    def __init__(self) -> None:
        super().__init__("Nobody answered the question in time.", code="ask_expired")


def _text(given: Any) -> str:
    """What can be reported of it: agents also raise TaskError(an_exception), and cut characters in half."""
    text = str.__str__(given) if isinstance(given, str) else str(given)
    return text.encode(errors="replace").decode()
