"""One reader of a session: its writer, and what it has been given."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from orchestrator.broker.connection import BrokerError
from orchestrator.delivery.session_log import SessionLog
from orchestrator.protocol.events import Event, SessionName
from orchestrator.protocol.position import Position
from orchestrator.protocol.subscriber import WRITTEN_BYTES, Subscriber
from orchestrator.protocol.tiers import Tier

UNREAD_SECONDS_MAX: Final = 15.0
"""A reader that takes nothing for so long, with something to take, is too slow: 4408."""
_RETRY_SECONDS: Final = 0.5
_LEFT: Final = 1006


Write = Callable[[Sequence[bytes]], None]
"""Raises `Gone` when the peer has left."""


OnEnd = Callable[[BaseException | None], None]
"""Is told that a connection is over, and what went wrong where that was a fault of ours."""


class Outlet(Protocol):
    """Where frames leave: a WebSocket, or a stream of Server-Sent Events."""

    @property
    def at_once(self) -> Write | None:
        """Writes frames without waiting; None while that cannot be, since the peer does not read."""
        ...

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write frames; waits while the peer does not read. Raises `Gone` when it has left."""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye."""


class Gone(Exception):
    """The peer has left."""


class Connection:
    """A socket that follows one session."""

    def __init__(self, outlet: Outlet, name: SessionName, tier: Tier, user: str) -> None:
        self.id: Final = f"conn-{random.getrandbits(64):016x}"
        self.tenant: Final = name.tenant
        self.session: Final = name.session
        self.tier: Final = tier
        self.user: Final = user
        self.subscriber: Final = Subscriber()
        self.epoch = name.epoch
        self.own_limits: Mapping[str, int] = {}
        """Limits of the tenant's own, which go before its tier's."""
        self.expires: float | None = None
        """When its token ends, Unix seconds; None: it has none."""
        self.issued: float | None = None
        self.subject = (name.tenant, user)
        """Tenant and user by whom a revocation names its caller."""
        self.announced = 0
        """The highest offset that the channel told of for this session."""
        self.unread: set[Connection] = set()
        """Where it stands among others while its peer has to read; of the registry, once it is there."""
        self.closing: tuple[int, str] | None = None
        self.on_ending_sent: Callable[[Connection, int], None] = lambda _connection, _offset: None
        self._outlet = outlet
        self._log: SessionLog | None = None
        self._on_end: OnEnd = _nobody_asks
        self._fault: BaseException | None = None
        self._writing: asyncio.Task[None] | None = None
        self._sending_since: float | None = None

    @property
    def name(self) -> SessionName:
        """Whose events it reads."""
        return SessionName(self.tenant, self.session, self.epoch)

    @property
    def reached(self) -> Position:
        """Up to where the client has everything that it wants."""
        return self.subscriber.reached(self.epoch)

    @property
    def state(self) -> str:
        """`replay`, `live` or `closed`."""
        return self.subscriber.state

    def say(self, frame: bytes) -> None:
        """Queue a frame that is no event."""
        if not self.subscriber.say(frame):
            self.close(4408, "too slow: reconnect with position")
        self.flush()

    def offer(self, event: Event, after: int | None = None) -> bool:
        """Queue an event that the channel brought, until `flush`; whether it showed that the log has to be read.

        `after` is the mark of the event before it, where that is told.
        """
        subscriber = self.subscriber
        self.announced = max(self.announced, event.offset)
        if subscriber.state != "live":
            return False
        subscriber.offer(event, after)
        if subscriber.waiting_bytes >= WRITTEN_BYTES:
            self.flush()
        return self.subscriber.state == "replay"

    def missed(self, offset: int) -> None:
        """Events up to `offset` exist, told without their content."""
        self.announced = max(self.announced, offset)
        self.subscriber.missed(offset)
        if self.subscriber.state == "replay":
            self._stir()

    def flush(self) -> None:
        """Have what was offered written: here and now where nobody writes and the peer reads."""
        if self._writing is None and self._log is not None and self.closing is None:
            subscriber = self.subscriber
            try:
                while subscriber.waiting and (write := self._outlet.at_once):
                    frames, ended = subscriber.next_frames()
                    write(frames)
                    self._note_sent(ended)
            except Gone:
                self.leave()
            if subscriber.state == "live" and not subscriber.waiting:
                return  # to wake a task costs more than a frame
        self._stir()

    def compare(self, offset: int, mark: int) -> None:
        """The log ends at `offset`, with this mark; where that is not where the reader stands, it reads the log."""
        self.subscriber.compare(offset, mark)
        if self.subscriber.state == "replay":
            self._stir()

    def unread_for(self, now: float) -> float:
        """Seconds for which the peer has taken nothing of what is being sent."""
        return 0.0 if self._sending_since is None else now - self._sending_since

    def overdue(self, now: float, wall: float) -> tuple[int, str] | None:
        """The close code for a reader that takes nothing of what is sent, or whose token has ended."""
        if self.unread_for(now) > UNREAD_SECONDS_MAX:
            return 4408, "too slow: reconnect with position"
        if self.expires is not None and self.expires <= wall:
            return 4401, "the token has ended: reconnect with a new one"
        return None

    def close(self, code: int, reason: str = "") -> None:
        """Close soon: after the frame that is being written, or instead of it when it does not go out."""
        if self.closing is None:
            self.closing = (code, reason)
            if self._sending_since is not None and self._writing:
                self._writing.cancel()
            self._stir()

    def leave(self) -> None:
        """The peer has gone: there is nobody to say goodbye to."""
        self.closing = (_LEFT, "")
        if self._writing:
            self._writing.cancel()
        self._stir()

    def follow(self, log: SessionLog, on_end: OnEnd) -> None:
        """Write what is queued, read on in the log where that is needed; `on_end` is called once it is closed.

        While nothing is to be done there is no task: most sockets wait most of the time, and a task weighs 2 KB.
        """
        self._log, self._on_end = log, on_end
        self.flush()

    async def write(self, log: SessionLog) -> None:
        """Follow until it is closed."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ended(fault: BaseException | None) -> None:
            if not over.done():
                over.set_exception(fault) if fault else over.set_result(None)

        self.follow(log, ended)
        try:
            await over
        finally:
            if self._writing:
                self._writing.cancel()
            self.subscriber.close()

    def _stir(self) -> None:
        """There is something to do."""
        if self._log is None or self._writing is not None or self.subscriber.state == "closed":
            return
        work = self._catch_up(self._log) if self.closing is None else self._end(*self.closing)
        self._writing = asyncio.create_task(work)
        self._writing.add_done_callback(self._rest)

    def _rest(self, done: asyncio.Task[None]) -> None:
        """What has come up meanwhile was left to us."""
        self._writing = None
        if not done.cancelled() and (fault := done.exception()):
            self.closing = (_LEFT, "") if isinstance(fault, Gone) else (1011, "")
            self._fault = None if isinstance(fault, Gone) else fault
        if self.closing is not None or self.subscriber.waiting or self.subscriber.state == "replay":
            self._stir()

    async def _end(self, code: int, reason: str) -> None:
        self.subscriber.close()
        try:
            if code != _LEFT:
                await self._outlet.close(code, reason)
        finally:
            self._on_end(self._fault)

    async def _catch_up(self, log: SessionLog) -> None:
        subscriber = self.subscriber
        while self.closing is None:
            if subscriber.waiting:
                await self._send_next()
            elif subscriber.state == "replay":
                await self._read_on(log)
            else:
                return

    async def _send_next(self) -> None:
        frames, ended = self.subscriber.next_frames()
        self._sending_since = asyncio.get_running_loop().time()
        self.unread.add(self)
        try:
            await self._outlet.send(frames)
        finally:
            self._sending_since = None
            self.unread.discard(self)
        self._note_sent(ended)

    def _note_sent(self, ended: int) -> None:
        if ended:
            self.on_ending_sent(self, ended)

    async def _read_on(self, log: SessionLog) -> None:
        """Take the next page. Live only when nothing was announced behind it: that would be a hole."""
        announced = self.announced  # what was announced before the read is in the log when it runs
        try:
            page = await log.read(self.name, self.reached.offset, self.reached.mark)
        except BrokerError:
            await asyncio.sleep(_RETRY_SECONDS)
            return
        if page is None:
            # Trimmed under the reader, begun anew, or not what it has seen: only the client can decide what to do.
            self.close(1011, "the log begins anew: reconnect")
            return
        self.subscriber.replay(page.events, page.reached, page.mark)
        if page.reached >= page.top and self.announced <= max(announced, self.subscriber.offset):
            self.subscriber.go_live()


def _nobody_asks(fault: BaseException | None) -> None:
    """Before anybody follows."""
    del fault
