"""The scripts of a session's log: open, read on, keep alive, settle."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.protocol.position import Position
from orchestrator.protocol.tiers import Tier

_OpenOutcome = Literal[
    "opened", "session_denied", "ask", "access_denied", "tier_mismatch", "too_many_connections"
]

SETTLED_AT_ONCE: Final = 100
SOCKETS_TOLD_SECONDS: Final = 90
"""How long a replica's count of a tenant's sockets is believed; it is told anew at least every 48 s."""


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who comes to which session; `resume` is a position, 'earliest', or 'live'."""

    session: str
    user: str
    tier: Tier
    validate: bool
    resume: Position | str
    replica: str
    sockets: int
    """The tenant's sockets on this replica, this one included."""
    sockets_max: int


class Opened(msgspec.Struct, frozen=True):
    """A session as a reader finds it: where its log stands, and the first page after the reader's position."""

    outcome: _OpenOutcome
    detail: str = ""
    epoch: str = ""
    top: int = 0
    mark: str = "0"
    recovered: bool = True
    reached: int = 0
    reached_mark: str = "0"
    offsets: list[int] = []
    limits: dict[str, int] = {}
    """The tenant's own, which go before its tier's."""
    waits: bool = False
    """Whether tasks of the tenant wait for agents."""
    start: int = msgspec.field(name="from", default=0)
    start_mark: str = msgspec.field(name="from_mark", default="0")

    @property
    def position(self) -> Position:
        """Where the log stands."""
        return Position(self.epoch, self.top, int(self.mark))


class Page(msgspec.Struct, frozen=True):
    """Some of a log: `offsets` of the entries that came with it; `reached` may lie behind the last of them."""

    outcome: Literal["read", "gone"]
    top: int
    reached: int
    mark: str
    """Of the entry at `reached`."""
    offsets: list[int]


class Top(msgspec.Struct, frozen=True, array_like=True):
    """Where a session's log stands; no epoch: nothing is kept of it."""

    epoch: str
    offset: int
    mark: int = 0
    open: bool = False
    """Whether one of the session's newest tasks has not ended."""


class Touch(NamedTuple):
    """Sessions of a tenant to keep alive."""

    tenant: str
    sessions: list[str]
    sockets: int = 0
    """How many the replica has of the tenant, to be told to the others; 0: as it was told."""


class SessionView(msgspec.Struct, frozen=True):
    """What is kept of a session: its position and the ids of its open and newest tasks."""

    outcome: Literal["found", "not_found", "session_denied"]
    position: str
    tasks: list[str]


_opened: Final = msgspec.msgpack.Decoder(Opened).decode
_page: Final = msgspec.msgpack.Decoder(Page).decode
_tops: Final = msgspec.msgpack.Decoder(list[list[Top]]).decode
_view: Final = msgspec.msgpack.Decoder(SessionView).decode

NEWEST_ENDED: Final = 50
"""How many ended tasks a session tells of."""


class Settled(NamedTuple):
    """Up to which offsets the endings of a session reached a socket, and were acknowledged."""

    session: str
    epoch: str
    delivered: int
    acknowledged: int


class Logs:
    """Typed calls of `open_session.lua`, `read_log.lua`, `touch.lua`, `settle.lua` and `session.lua`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._queue = broker.keys.callbacks

    async def open(self, tenant: str, request: OpenRequest) -> tuple[Opened, list[bytes]]:
        """Begin to read. Creates the session where there is none."""
        resume = request.resume
        wanted: dict[str, Any] = {"resume": resume, "epoch": "", "offset": 0, "mark": 0}
        if isinstance(resume, Position):
            wanted = {"resume": "at", "epoch": resume.epoch, "offset": resume.offset, "mark": resume.mark}
        told = msgspec.structs.asdict(request) | wanted | {"sockets_ttl": SOCKETS_TOLD_SECONDS}
        arguments = self._broker.arguments(**told)
        first, *entries = await self._broker.run("open_session", self._queue(tenant), arguments)
        return _opened(first), entries

    async def read(
        self, tenant: str, session: str, epoch: str, seen: int, mark: int | None = None
    ) -> tuple[Page, list[bytes]]:
        """The events after the offset `seen`, a page of them; `gone` where the entry there has another `mark`."""
        arguments = self._broker.arguments(session=session, epoch=epoch, mark=mark, **{"from": seen})
        first, *entries = await self._broker.run("read_log", self._queue(tenant), arguments)
        return _page(first), entries

    async def touch(self, replica: str, asked: Sequence[Touch]) -> list[list[Top]]:
        """Keep the logs of sessions with open sockets alive; where each stands, in the order asked.

        In a Cluster one tenant a call.
        """
        arguments = self._broker.arguments(
            replica=replica,
            sockets_ttl=SOCKETS_TOLD_SECONDS,
            asked=[(one.sessions, one.sockets) for one in asked],
        )
        queues = [self._queue(one.tenant) for one in asked]
        return _tops(await self._broker.run("touch", queues, arguments))

    async def tell_sockets(self, tenant: str, replica: str, count: int) -> None:
        """Say how many sockets of the tenant this replica has now."""
        key = self._broker.keys.of_tenant(tenant, "sockets")
        if count:
            until = self._broker.clock.now() + SOCKETS_TOLD_SECONDS * 1_000_000
            await asyncio.gather(
                self._broker.command(key, "HSET", key, replica, f"{count}:{until}"),
                self._broker.command(key, "EXPIRE", key, SOCKETS_TOLD_SECONDS),
            )
        else:
            await self._broker.command(key, "HDEL", key, replica)

    async def settle(self, tenant: str, settled: Sequence[Settled]) -> None:
        """Note which endings reached a socket, and which of them the client acknowledged."""
        while settled:
            arguments = self._broker.arguments(settled=settled[:SETTLED_AT_ONCE])
            settled = settled[await self._broker.run("settle", self._queue(tenant), arguments) :]

    async def view(self, tenant: str, session: str, user: str) -> SessionView:
        """Where a session stands and which tasks it has."""
        arguments = self._broker.arguments(session=session, user=user, newest=NEWEST_ENDED)
        return _view(await self._broker.run("session", self._queue(tenant), arguments))
