"""uvicorn's WebSocket protocol with what contract §4 promises and the original (0.54) does not keep."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import CloseCode, Frame

from orchestrator.api.keepalive import KeptAlive
from orchestrator.api.text_frames import framed
from orchestrator.protocol.budget import Budget

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

QUEUED_MESSAGES: Final = 64
QUEUED_CHARACTERS: Final = 128 * 1024
"""Messages that wait for the application, and what is in them, before the peer is no longer read."""

PARSED_AT_ONCE: Final = 4096
"""Bytes; one read can hold 40 000 frames, which nobody asked us to keep as objects."""

SIGNS_PER_SECOND: Final = 5
SIGNS_AT_ONCE: Final = 30
"""Pings and pongs of a peer: each ping is answered, for 35 µs, and the answers of one who reads none are kept."""

FRAGMENTS_PER_SECOND: Final = 200
FRAGMENTS_AT_ONCE: Final = 500
"""Pieces of messages: one message, as its sender pays for it, can be cut into 65 000 of them, 9 µs each."""

TOO_MANY: Final = 4429

CLOSE_SECONDS: Final = 10.0
"""How long a peer has to end the connection after a close frame, and to read what was written before it."""

MAX_UNREAD_BYTES: Final = 8 * 1024 * 1024
"""What may wait for a peer that does not read; twice the largest frame that we send."""


class WebSocketProtocol(KeptAlive):
    """Passed to uvicorn as `ws=`. Whoever changes the pinned uvicorn reads these overrides again."""

    close_seconds: float = CLOSE_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handed_over = False
        # Nobody may be silent for longer than that, whatever was said before.
        silence = (self.ping_interval or CLOSE_SECONDS) + (self.ping_timeout or CLOSE_SECONDS)
        self.close_timeout = min(self.close_seconds, silence)
        self._unparsed = bytearray()
        self._continued = bytearray()
        self._queued = 0
        self._signs: Budget | None = None
        self._fragments: Budget | None = None

    # Reading

    def data_received(self, data: bytes) -> None:
        """Takes any byte as a sign of life: who is busy sending may be late with its pong."""
        if self.hear(data) and not self._unparsed:
            return
        self._unparsed += data
        self._parse()

    def _parse(self) -> None:
        while self._unparsed and not self.read_paused:
            piece = self._unparsed[:PARSED_AT_ONCE]
            del self._unparsed[:PARSED_AT_ONCE]
            self.conn.receive_data(piece)
            self.handle_events()  # what came before a bad frame still counts
            if self.conn.parser_exc is not None:
                self.handle_parser_exception()
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                # The original forgets this answer (too many headers, URL too long) and keeps the socket.
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.transport.close()
        self._drop_if_unread()
        self._bound_closing()

    def handle_ping(self) -> None:
        """Answers, unless there are too many."""
        if self._is_sign():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Counts them: nobody asks for many."""
        self._is_sign()

    def handle_cont(self, event: Frame) -> None:
        """Joins fragments as they come: kept one by one, small ones would take many times what they say."""
        if self._fragments is None:
            self._fragments = Budget(FRAGMENTS_PER_SECOND, FRAGMENTS_AT_ONCE, self.loop.time())
        if self._is_within(self._fragments):
            self._continued += event.data
            if event.fin:
                self.send_receive_event_to_app()

    def _is_sign(self) -> bool:
        if self._signs is None:
            self._signs = Budget(SIGNS_PER_SECOND, SIGNS_AT_ONCE, self.loop.time())
        return self._is_within(self._signs)

    def _is_within(self, budget: Budget) -> bool:
        """Whether one more is no attack; one that is ends the connection with 4429."""
        within = budget.spend(self.loop.time())
        if not within and not self.close_sent and not self.transport.is_closing():
            self._fail(TOO_MANY, _retry_after())
        return within

    def send_receive_event_to_app(self) -> None:
        """Queues several messages: the original stops reading after each, and so misses pongs."""
        data, self.frames = b"".join((*self.frames, self._continued)), []
        self._continued.clear()
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            self._queue({"type": "websocket.receive", "bytes": data}, len(data))
        else:
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self._fail(CloseCode.INVALID_DATA, "not UTF-8")
            else:
                self._queue({"type": "websocket.receive", "text": text}, len(text))

    def _queue(self, message: "ASGIReceiveEvent", size: int) -> None:
        self.queue.put_nowait(message)
        self._queued += size
        is_full = self.queue.qsize() >= QUEUED_MESSAGES or self._queued >= QUEUED_CHARACTERS
        if is_full and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> Any:
        """The next message; what was read but not parsed follows as soon as there is room."""
        message: Any = await super().receive()
        self._queued -= len(message.get("text") or message.get("bytes") or "")
        self._parse()
        return message

    # Writing

    async def send(self, message: "ASGISendEvent") -> None:
        """Lets a close frame overtake the wait: the slow reader is the one who gets closed."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await self.writable.wait()
        if self.close_sent:  # the original calls this a fault of the application, and logs it as one
            raise ClientDisconnected
        await super().send(message)
        if self.close_timer is not None:
            self._abort_later()
            self._parse()
        self._drop_if_unread()

    def write_texts(self, frames: Sequence[bytes]) -> None:
        """Writes them in one piece: message by message the original takes six times as long."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        self.transport.write(framed(frames))
        self._drop_if_unread()

    def _drop_if_unread(self) -> None:
        # Pongs and concurrent senders do not wait for `writable`; this is the end of it.
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.transport.abort()

    # Without a task: see `Texts`

    def hand_over(self, on_message: Callable[[], None]) -> None:
        """Calls this with each message from now on; what only the handshake needed is forgotten."""
        self._handed_over = True
        self.queue.on_put = on_message  # type: ignore[attr-defined]
        self.forget_handshake()

    @property
    def has_messages(self) -> bool:
        """Whether `receive` would not wait."""
        return not self.queue.empty()

    def let_go(self) -> None:
        """The conversation is over: what is left is to part from the peer."""
        self.queue.on_put = None  # type: ignore[attr-defined]
        if self.close_timer is None:
            self.transport.close()
        self._bound_closing()

    async def run_asgi(self) -> None:
        """As the original does, except that the connection outlives an application that has handed it over."""
        try:
            await self.app(self.scope, self.receive, self.send)  # pyright: ignore[reportUnknownMemberType]
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        else:
            if not self.handshake_complete:
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()
        if not self._handed_over:
            self.let_go()

    # Ending

    def handle_parser_exception(self) -> None:
        """1002, 1007, 1009: the close frame reaches the peer (see `_part`)."""
        if self.close_sent:
            return
        if not self.handshake_complete or self.conn.close_sent is None:
            self.transport.abort()  # frames, and bad ones, before the handshake was answered
        else:
            self._part(self.conn.close_sent.code, self.conn.close_sent.reason)

    def send_500_response(self) -> None:
        """After the handshake, an application that failed is a 1011 rather than a torn connection."""
        if not self.handshake_complete:
            super().send_500_response()
        elif not self.close_sent and not self.transport.is_closing():
            self._fail(CloseCode.INTERNAL_ERROR, "")

    def shutdown(self) -> None:
        """Only for sockets that the drain left over; those being closed have their own timer."""
        if not self.handshake_complete:
            super().shutdown()
        elif not self.close_sent and not self.transport.is_closing():
            self._fail(CloseCode.SERVICE_RESTART, _retry_after())

    def connection_lost(self, exc: Exception | None) -> None:
        """1006 when no close frame came; the original says 1005, as if the peer had closed."""
        self.handshake_complete = False
        self._unparsed.clear()
        super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done, and the connection closed if it was not."""
        super().on_task_complete(task)
        self._bound_closing()

    def _bound_closing(self) -> None:
        """Closing alone waits until the peer has read everything, for ever, and stops to read from it."""
        if self.transport.is_closing() and self.close_timer is None and not self.disconnected:
            self._abort_later()

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        if self.handshake_complete:
            self._part(code, reason)
        else:  # frames, and bad ones, before the handshake was answered
            self.transport.abort()

    def _part(self, code: int, reason: str) -> None:
        """Tells the application, flushes the close frame, and reads on until the peer has ended too.

        Closing while bytes of the peer are unread sends RST, which throws the close frame away.
        """
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_sent = True
        self.stop_keepalive()
        self._unparsed.clear()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._abort_later()

    def _abort_later(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)


def _retry_after() -> str:
    return f'{{"retry_after_ms":{random.randint(500, 3000)}}}'
