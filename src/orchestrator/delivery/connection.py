"""One reader of a session: its writer, and what it has been given."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from orchestrator.broker.connection import BrokerError
from orchestrator.delivery.session_log import SessionLog
from orchestrator.protocol.events import Event, SessionName
from orchestrator.protocol.position import Position
from orchestrator.protocol.subscriber import Subscriber
from orchestrator.protocol.tiers import Tier

UNREAD_SECONDS_MAX: Final = 15.0
"""A reader that takes nothing for so long, with something to take, is too slow: 4408."""
_RETRY_SECONDS: Final = 0.5
_LEFT: Final = 1006


Write = Callable[[Sequence[bytes]], None]
"""Raises `Gone` when the peer has left."""


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
        self.id: Final = f"conn-{secrets.token_hex(8)}"
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
        self.closing: tuple[int, str] | None = None
        self.on_ending_sent: Callable[[Connection, int], None] = lambda _connection, _offset: None
        self._outlet = outlet
        self._wake = asyncio.Event()
        self._waits = False
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
        self._wake.set()

    def offer(self, event: Event, after: int | None = None) -> None:
        """Queue an event that the channel brought, until `flush`; `after` is the mark of the one before it, if told."""
        self.announced = max(self.announced, event.offset)
        self.subscriber.offer(event, after)

    def missed(self, offset: int) -> None:
        """Events up to `offset` exist, told without their content."""
        self.announced = max(self.announced, offset)
        self.subscriber.missed(offset)
        self._wake.set()

    def flush(self) -> None:
        """Have what was offered written: here and now where the writer waits for it and the peer reads."""
        if self._waits and self.closing is None:
            try:
                while self.subscriber.has_frames and (write := self._outlet.at_once):
                    frames, ended = self.subscriber.next_frames()
                    write(frames)
                    self._note_sent(ended)
            except Gone:
                self.leave()
            if self.subscriber.state == "live" and not self.subscriber.has_frames:
                return  # to wake a task costs more than a frame
        self._wake.set()

    def compare(self, offset: int, mark: int) -> None:
        """The log ends at `offset`, with this mark; where that is not where the reader stands, it reads the log."""
        self.subscriber.compare(offset, mark)
        self._wake.set()

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
            self._wake.set()
            if self._sending_since is not None and self._writing:
                self._writing.cancel()

    def leave(self) -> None:
        """The peer has gone: there is nobody to say goodbye to."""
        self.closing = (_LEFT, "")
        self._wake.set()
        if self._writing:
            self._writing.cancel()

    async def write(self, log: SessionLog) -> None:
        """Write what is queued, read on in the log where that is needed, until closed; then close the outlet."""
        self._writing = asyncio.create_task(self._write(log))
        try:
            await asyncio.wait((self._writing,))
            if not self._writing.cancelled():
                self._writing.result()
        except Gone:
            return
        finally:
            self._writing.cancel()
            self.subscriber.close()
        code, reason = self.closing or (1011, "")
        if code == _LEFT:
            return
        await self._outlet.close(code, reason)

    async def _write(self, log: SessionLog) -> None:
        subscriber = self.subscriber
        while self.closing is None:
            if subscriber.has_frames:
                await self._send_next()
            elif subscriber.state == "replay":
                await self._read_on(log)
            else:
                await self._wait()

    async def _wait(self) -> None:
        self._wake.clear()
        self._waits = True
        try:
            await self._wake.wait()
        finally:
            self._waits = False

    async def _send_next(self) -> None:
        frames, ended = self.subscriber.next_frames()
        self._sending_since = asyncio.get_running_loop().time()
        try:
            await self._outlet.send(frames)
        finally:
            self._sending_since = None
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
