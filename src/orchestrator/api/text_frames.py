"""WebSocket text frames as a server writes them (RFC 6455 §5.2), many at once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from orchestrator.api.inbox import Gate

TEXTS: Final = "orchestrator.texts"
"""The extension in a socket's ASGI scope under which the server's `Texts` is found."""

_TEXT: Final = b"\x81"
_MEDIUM_TEXT: Final = b"\x81\x7e"
_LONG_TEXT: Final = b"\x81\x7f"
_SHORT: Final = 126
_MEDIUM: Final = 1 << 16


class Texts(Protocol):
    """A socket past ASGI, which has a message, a coroutine and a system call for each frame, and a task a socket."""

    writable: Gate
    """Set while the peer reads, and when it has gone."""

    @property
    def has_messages(self) -> bool:
        """Whether `receive` would not wait."""
        ...

    def write_texts(self, frames: Sequence[bytes]) -> None:
        """Write UTF-8 texts at once. Raises `OSError` where the connection is over."""

    async def receive(self) -> Any:
        """The next ASGI message of the peer."""

    async def send(self, message: Any, /) -> None:
        """As the `send` of ASGI."""

    def hand_over(self, on_message: Callable[[], None]) -> None:
        """Let the application return: from now on it is called with each message, and ends it all by `let_go`."""

    def let_go(self) -> None:
        """The conversation is over."""


def framed(texts: Iterable[bytes]) -> bytes:
    """Each text as one frame, one behind the other."""
    parts: list[bytes] = []
    for text in texts:
        size = len(text)
        if size < _SHORT:
            parts += (_TEXT, size.to_bytes(1), text)
        elif size < _MEDIUM:
            parts += (_MEDIUM_TEXT, size.to_bytes(2), text)
        else:
            parts += (_LONG_TEXT, size.to_bytes(8), text)
    return b"".join(parts)
