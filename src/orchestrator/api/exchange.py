"""A request that came whole, and its answer as it leaves: in one piece."""

from collections.abc import Iterable
from typing import Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE


class _Unheard:
    def set(self) -> None:
        """Nobody waits for it."""


class Exchange:
    """Stands where uvicorn's protocol looks for a `RequestResponseCycle` of its own, with what it looks at."""

    message_event: Final = _Unheard()

    def __init__(self) -> None:
        self.more_body = False
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True


def on_the_wire(response: Response, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An answer with these headers besides; its body has to be there."""
    lines = [b"%b: %b\r\n" % header for header in (*headers, *response.raw_headers)]
    return b"".join((STATUS_LINE[response.status_code], *lines, b"\r\n", response.body))
