"""uvicorn's HTTP protocol with the bounds it lacks: how large a request's head may be, how long it may take."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from orchestrator.api.problems import problem_response
from orchestrator.errors import Problem

MAX_HEAD_BYTES: Final = 32_768
"""Request line and headers of one request."""

HEAD_SECONDS: Final = 10.0
"""From a request's first byte, or from the connection, to the end of its headers."""

UNREAD_SECONDS: Final = 20.0
"""How long a peer may take nothing of an answer; a stream of events is closed before, but cannot end by itself."""

LINGER_SECONDS: Final = 5.0
"""How long a peer that is refused while it sends may go on, so that it reads why."""


class HttpProtocol(HttpToolsProtocol):
    """Passed to uvicorn as `http=`. Without it, headers without end take memory without end."""

    head_seconds: float = HEAD_SECONDS
    unread_seconds: float = UNREAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock: a connection that asks nothing is closed as well."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the clocks."""
        self._stop_head_timer()
        self._stop_unread_timer()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Starts the clock of a peer that does not read: the application would wait for it, and keep all, for ever."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops it."""
        super().resume_writing()
        self._stop_unread_timer()

    def data_received(self, data: bytes) -> None:
        """Never feeds the parser more of a head than is allowed, since it keeps all of it."""
        while data and self._linger_timer is None and not self.transport.is_closing():
            room = MAX_HEAD_BYTES - self._head_bytes if self._in_head else len(data)
            if room == 0:
                self._refuse(Problem("headers_too_large", f"at most {MAX_HEAD_BYTES} bytes of headers"))
                return
            piece, data = data[:room], data[room:]
            self._feed(piece)
            if self.transport.get_protocol() is not self:
                return  # a WebSocket now; clients wait for the handshake's answer before they send more

    def _feed(self, piece: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(piece)
            if self._head_timer is None:
                self._start_head_timer()
        super().data_received(piece)

    def on_headers_complete(self) -> None:
        """Stops the clock; the body's is the application's affair."""
        self._in_head, self._head_bytes = False, 0
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is another head."""
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Ends the connection when the answer did not wait for the body: nobody waits for its rest."""
        super().on_response_complete()
        # With pipelining `cycle` is already the next request's.
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._linger()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_too_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _head_too_late(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(
                Problem("request_timeout", f"the headers did not come within {self.head_seconds:g} s")
            )
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answers in place of the application, which never hears of this request."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison]
            self.transport.close()  # another answer is under way on this connection
            return
        response = problem_response(problem)
        headers = [*response.raw_headers, (b"connection", b"close")]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[problem.status] + head + b"\r\n" + bytes(response.body))
        self._linger()

    def _linger(self) -> None:
        # Closing over what the peer is still sending would reset the connection, our answer included.
        self._stop_head_timer()
        self.transport.write_eof()
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
