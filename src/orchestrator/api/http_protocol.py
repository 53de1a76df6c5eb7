"""uvicorn's HTTP protocol with the bounds it lacks: how much a request may cost before anybody knows what it asks."""

import asyncio
from typing import Any, Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import is_ssl

from orchestrator.api.addresses import peer_in
from orchestrator.api.exchange import Exchange, on_the_wire
from orchestrator.api.flow import Flow
from orchestrator.api.idle_timer import IdleTimer
from orchestrator.api.pending_connections import PendingConnections
from orchestrator.api.problems import problem_response
from orchestrator.api.request_headers import TooManyHeaders
from orchestrator.errors import Problem

MAX_HEAD_BYTES: Final = 32_768
"""Request line and headers of one request; also what may stand between two bytes of a body, or after the last."""

MAX_HEADERS: Final = 100
"""Of one request: as objects, headers of four bytes take sixty times what they take on the wire."""

PARSED_AT_ONCE: Final = 4096
"""Bytes; one read can hold 10 000 requests, and nobody asked us to keep those as objects."""

HEAD_SECONDS: Final = 10.0
"""From a request's first byte, or from the connection, to the end of its headers."""

UNREAD_SECONDS: Final = 20.0
"""How long a peer may take nothing of an answer; a stream of events is closed before, but cannot end by itself."""

LINGER_SECONDS: Final = 5.0
"""How long a peer that is refused while it sends may go on, so that it reads why."""


class HttpProtocol(HttpToolsProtocol):
    """What `Upgrading` builds upon. Whoever changes the pinned uvicorn reads these overrides again."""

    head_seconds: float = HEAD_SECONDS
    unread_seconds: float = UNREAD_SECONDS
    _flow: Flow

    def __init__(self, *args: Any, pending: PendingConnections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pending = pending
        # Whose connection this is, and whether it counts: until its head is complete, and again when it is idle.
        self._home: str | None = None
        self._group: str | None = None
        self._unparsed = bytearray()
        self._in_head = True
        self._head_bytes = 0
        self._since_body = 0
        self._running: RequestResponseCycle | Exchange | None = None
        self._idle = IdleTimer(self.loop, self.timeout_keep_alive)
        self._head_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock; the original asks the system for addresses, too, that are known or not needed."""
        self.connections.add(self)
        self.transport, self.scheme = transport, "https" if is_ssl(transport) else "http"
        self.flow = self._flow = Flow(transport)
        self.client = peer_in(transport.get_extra_info("peername"))
        self._home = self._pending.group_of(self.client[0] if self.client else None)
        if self._home is not None and not self._pending.enter(self._home):
            transport.abort()
            return
        self._group = self._home
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the clocks, and tells the application; the original leaves out the request that is being answered."""
        self._leave_pending()
        self._stop_head_timer()
        self._stop_unread_timer()
        if self._end_timer is not None:
            self._end_timer.cancel()
        self._idle.stop()
        self._unparsed.clear()
        if self._running is not None:  # `cycle` may be one that waits behind it
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    # Reading

    def data_received(self, data: bytes) -> None:
        """Parses as much as is of use now; what waits does so as the bytes it came in."""
        if self._end_timer is not None:
            return
        if self._unparsed or self.pipeline or len(data) > self._room() or self.transport.is_closing():
            self._unparsed += data
            self._parse()
        else:
            self._parse_piece(data)

    def _room(self) -> int:
        """How much may be parsed at once."""
        return min(PARSED_AT_ONCE, MAX_HEAD_BYTES - self._head_bytes) if self._in_head else PARSED_AT_ONCE

    def _parse(self) -> None:
        while self._unparsed and not self.pipeline and not self._is_ending():
            room = self._room()
            if room == 0:
                self._refuse(Problem("headers_too_large", f"at most {MAX_HEAD_BYTES} bytes of headers"))
                return
            piece = bytes(self._unparsed[:room])
            del self._unparsed[: len(piece)]
            self._parse_piece(piece)
            if self.transport.get_protocol() is not self:
                return  # a WebSocket now: clients wait for its answer before they send more
        # Where bytes wait, a request does too; the end of the last one that waits reads on.
        self._flow.held = bool(self._unparsed) and not self._is_ending()
        if self._flow.held:
            self._flow.pause_reading()

    def _parse_piece(self, piece: bytes) -> None:
        """Feeds the parser; it keeps all of a head, and all of what it finds behind a body."""
        if self._in_head:
            self._head_bytes += len(piece)
        else:
            self._since_body += len(piece)
        super().data_received(piece)
        if self._in_head and self._head_bytes and self._head_timer is None and not self._is_ending():
            self._start_head_timer()  # a head that came in one piece needs none
        if self._since_body > MAX_HEAD_BYTES:
            self._refuse(Problem("headers_too_large", f"at most {MAX_HEAD_BYTES} bytes around a body"))

    def _is_ending(self) -> bool:
        return self._end_timer is not None or self.transport.is_closing()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header. What comes after a body is none: a gateway that removes headers does not look there."""
        if not self._in_head:
            return
        headers, name = self.headers, name.lower()
        if len(headers) >= MAX_HEADERS:
            raise TooManyHeaders
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))  # all that the original does, whose call would cost as much

    def on_headers_complete(self) -> None:
        """Stops the clock; the body's is the application's affair."""
        self._in_head, self._head_bytes = False, 0
        self._leave_pending()
        self._stop_head_timer()
        self._begin()

    def _begin(self) -> None:
        """The application hears of the request, of which the head has come."""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Counts anew what is no body."""
        self._since_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What comes next is another head."""
        self._in_head, self._since_body = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Says what the parser would not take."""
        if self._in_head and len(self.headers or ()) >= MAX_HEADERS:
            self._refuse(Problem("headers_too_large", f"at most {MAX_HEADERS} headers"))
        elif self._is_idle():
            super().send_400_response(msg)
            self._end_within(self.unread_seconds)
        else:
            self._close()  # another answer is under way on this connection

    # Answering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _is_idle(self) -> bool:
        return self._running is None or self._running.response_complete

    def on_response_complete(self) -> None:
        """Ends the connection when the answer did not wait for the body: nobody waits for its rest."""
        # In place of the original's, which makes a timer of every answer.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._end_within(self.unread_seconds)
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle.rest(self.timeout_keep_alive_handler)
        # With pipelining `cycle` is already the next request's.
        if self.cycle.response_complete and self.cycle.more_body:
            self._linger()
            return
        if self._unparsed:
            self._parse()
        if self._is_idle() and not self._unparsed and not self._is_ending():
            self._stay_or_close()

    def _unset_keepalive_if_required(self) -> None:
        self._idle.stir()

    def timeout_keep_alive_handler(self) -> None:
        """Closes, and does not wait for ever until the peer has read its last answer."""
        super().timeout_keep_alive_handler()
        self._end_within(self.unread_seconds)

    def pause_writing(self) -> None:
        """Starts the clock of a peer that does not read: the application would wait for it, and keep all, for ever."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops it."""
        super().resume_writing()
        self._stop_unread_timer()

    # Ending

    def _stay_or_close(self) -> None:
        """Idle connections cost as much as new ones: who keeps too many has to connect anew for the next request."""
        if self._home is None or self._group is not None:
            return
        if self._pending.stay(self._home):
            self._group = self._home
        else:
            self._close()

    def _leave_pending(self) -> None:
        if self._group is not None:
            self._pending.leave(self._group)
            self._group = None

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
            self._close()

    def _refuse(self, problem: Problem) -> None:
        """Answers in place of the application, which never hears of this request."""
        if self.transport.is_closing():
            return
        if self._is_idle():
            self.transport.write(on_the_wire(problem_response(problem), [(b"connection", b"close")]))
            self._linger()
        else:
            self._close()  # another answer is under way on this connection

    def _linger(self) -> None:
        # Closing over what the peer is still sending would reset the connection, our answer included.
        self._stop_head_timer()
        self._unparsed.clear()
        self.transport.write_eof()
        self._end_within(LINGER_SECONDS)

    def _close(self) -> None:
        self.transport.close()
        self._end_within(self.unread_seconds)

    def _end_within(self, seconds: float) -> None:
        """From now on nothing is parsed; closing alone would wait until the peer has read everything, for ever."""
        if self._end_timer is None:
            self._end_timer = self.loop.call_later(seconds, self.transport.abort)
