"""Who follows which session on this replica, and what a tenant's channel brings to whom.

A replica hears a tenant's channel from its first socket of the tenant on. The order of a subscription: hear the
channel and wait for the confirmation, read the log, then write; so nothing can fall between log and channel.
"""

import asyncio
import time
from collections import Counter as Tally
from collections.abc import Iterator
from typing import Final, Protocol

from orchestrator.broker.keys import Keys
from orchestrator.broker.logs import Opened, OpenRequest, Top
from orchestrator.delivery.connection import Connection
from orchestrator.delivery.session_log import SessionLog
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.batches import Announced, read_batch
from orchestrator.protocol.events import Event, EventType, SessionName, read_event
from orchestrator.protocol.position import Position

BACKLOG_EVENTS: Final = 64
BACKLOG_SECONDS: Final = 0.01
"""How long the sockets of a message from a backlog are not written to: each write costs as much as several events."""
UNUSED_CHANNEL_SECONDS: Final = 30.0
"""How long a channel is heard after its last socket, since people reload pages."""
COUNT_RARELY: Final = 1_000
"""Of the time that counting takes: then it takes a thousandth of a core at most."""


class Channels(Protocol):
    """Where tenants' channels are heard."""

    async def subscribe(self, channel: str) -> None:
        """Hear a channel, confirmed."""

    async def unsubscribe(self, channel: str) -> None:
        """Hear it no more."""


class _Tenant:
    """The sockets of one tenant by session."""

    def __init__(self) -> None:
        self.sessions: dict[str, set[Connection]] = {}
        # Sessions that have a task under way or may have one: they are checked more often. The check itself tells when
        # that is over; the channel cannot, since messages are lost and another task of the session may go on.
        self.busy: set[str] = set()
        self.unused_since: float | None = None
        self.count = 0


class WebSocketManager:
    """The registry of open connections."""

    def __init__(
        self, replica: str, keys: Keys, log: SessionLog, channels: Channels, metrics: Metrics
    ) -> None:
        self._replica = replica
        self._keys = keys
        self._log = log
        self._channels = channels
        self._metrics = metrics
        self._tenants: dict[str, _Tenant] = {}
        self._tenant_of_channel: dict[str, str] = {}
        self.count = 0
        self._offered: set[Connection] = set()
        self._flushing: asyncio.TimerHandle | None = None
        # What is looked at again and again is kept apart: of thousands of sockets and tenants nearly all are at rest.
        self._unread: set[Connection] = set()
        self._expiring: set[Connection] = set()
        self._unused: set[str] = set()
        # Tenants of which sockets left since the others were told how many there are.
        self._changed: set[str] = set()
        self._rows: list[tuple[str, str, str, int]] = []
        self._rows_until = 0.0

    async def attach(
        self, connection: Connection, resume: Position | str, *, validate: bool, sockets_max: int
    ) -> tuple[Opened, list[Event]]:
        """Register a connection and begin to read its session.

        Raises `BrokerError`. When the outcome is not `opened` the connection is not registered.
        """
        self._add(connection)
        try:
            await self._channels.subscribe(self._keys.events(connection.tenant))
            request = OpenRequest(
                session=connection.session,
                user=connection.user,
                tier=connection.tier,
                validate=validate,
                resume=resume,
                replica=self._replica,
                sockets=self._tenants[connection.tenant].count,
                sockets_max=sockets_max,
            )
            opened, events = await self._log.open(connection.tenant, request)
        except BaseException:
            self.detach(connection)
            raise
        if opened.outcome != "opened":
            self.detach(connection)
            return opened, []
        connection.epoch = opened.epoch
        connection.own_limits = opened.limits
        connection.subscriber.start(opened.start, int(opened.start_mark))
        self._tenants[connection.tenant].busy.add(connection.session)
        return opened, events

    def start(self, connection: Connection, opened: Opened, events: list[Event]) -> None:
        """Queue the first page; the connection's writer reads on from there."""
        connection.subscriber.replay(events, opened.reached, int(opened.reached_mark))
        if opened.reached >= opened.top and connection.announced <= connection.subscriber.offset:
            connection.subscriber.go_live()

    def detach(self, connection: Connection) -> None:
        """Forget a connection; its channel is given up a while later."""
        tenant = self._tenants.get(connection.tenant)
        sockets = tenant.sessions.get(connection.session) if tenant else None
        if tenant is None or sockets is None or connection not in sockets:
            return
        sockets.discard(connection)
        self.count -= 1
        tenant.count -= 1
        self._changed.add(connection.tenant)
        self._expiring.discard(connection)
        if not sockets:
            del tenant.sessions[connection.session]
            tenant.busy.discard(connection.session)
        if not tenant.sessions:
            tenant.unused_since = asyncio.get_running_loop().time()
            self._unused.add(connection.tenant)

    def on_message(self, channel: str, message: bytes) -> None:
        """Bring the events of a batch to the sockets of their sessions."""
        name = self._tenant_of_channel.get(channel)
        tenant = self._tenants.get(name or "")
        if name is None or tenant is None:
            return
        whose = SessionName(name, "", "")
        brought, delivered = 0, Tally[EventType]()
        for announced in read_batch(message, tenant.sessions):
            sockets = tenant.sessions.get(announced.session)
            if not sockets:
                continue
            tenant.busy.add(announced.session)
            if not announced.entry:
                for connection in sockets:
                    connection.missed(announced.offset)
                continue
            if announced.session != whose.session or announced.epoch != whose.epoch:
                whose = SessionName(name, announced.session, announced.epoch)
                self._offered |= sockets
            event = read_event(whose, announced.offset, announced.entry)
            self._bring(event, announced, sockets)
            delivered[event.type] += len(sockets)
            brought += 1
        for kind, times in delivered.items():
            self._metrics.count(Counter.EVENTS_DELIVERED, kind, by=times)
        self._flush_soon(brought)

    def _bring(self, event: Event, announced: Announced, sockets: set[Connection]) -> None:
        for connection in sockets:
            if connection.epoch not in (announced.epoch, ""):
                connection.close(1011, "the log begins anew: reconnect")
            elif connection.offer(event, announced.after):
                self._metrics.count(Counter.GAP_READS)

    def _flush_soon(self, brought: int) -> None:
        """At once; but a message with so much comes from a backlog, and the next has more for the same sockets."""
        if brought < BACKLOG_EVENTS:
            self._flush()
        elif self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(BACKLOG_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._flushing:
            self._flushing.cancel()
            self._flushing = None
        offered, self._offered = self._offered, set()
        for connection in offered:
            connection.flush()

    def check(self, tenant: str, sessions: list[str], tops: list[Top]) -> None:
        """Compare with where the logs stand; what was missed is read."""
        known = self._tenants.get(tenant)
        for session, top in zip(sessions, tops, strict=True):
            sockets = tuple(known.sessions.get(session, ())) if known else ()
            if known and sockets:
                newer = any(connection.announced > top.offset for connection in sockets)
                (known.busy.add if top.open or newer else known.busy.discard)(session)
            for connection in sockets:
                if connection.epoch and top.epoch != connection.epoch:
                    connection.close(1011, "the log begins anew: reconnect")
                else:
                    connection.compare(top.offset, top.mark)

    def sessions_to_check(self, *, busy: bool) -> Iterator[tuple[str, list[str]]]:
        """Sessions with sockets by tenant: those that may have a task under way, or all."""
        for name, tenant in list(self._tenants.items()):
            sessions = list(tenant.busy if busy else tenant.sessions)
            if sessions:
                yield name, sessions

    def close_overdue(self) -> None:
        """4408 for who takes nothing of what is sent, 4401 for whose token has ended."""
        now, wall = asyncio.get_running_loop().time(), time.time()
        ended = [connection for connection in self._expiring if (connection.expires or wall) <= wall]
        for connection in (*self._unread, *ended):
            overdue = connection.overdue(now, wall)
            if overdue:
                connection.close(*overdue)

    def of_tenant(self, name: str) -> list[Connection]:
        """The open connections of one tenant."""
        tenant = self._tenants.get(name)
        return (
            [connection for sockets in tenant.sessions.values() for connection in sockets] if tenant else []
        )

    async def give_up_unused(self) -> None:
        """Stop to hear the channels of tenants without sockets."""
        now = asyncio.get_running_loop().time()
        for name in tuple(self._unused):
            unused = self._tenants[name].unused_since
            if unused is None:
                self._unused.discard(name)
            elif now - unused > UNUSED_CHANNEL_SECONDS:
                self._unused.discard(name)
                del self._tenants[name]
                channel = self._keys.events(name)
                del self._tenant_of_channel[channel]
                await self._channels.unsubscribe(channel)

    def changed_counts(self) -> list[tuple[str, int]]:
        """Sockets by tenant, of those where some left since this was asked last."""
        changed, self._changed = self._changed, set()
        return [(name, self.count_of(name)) for name in changed]

    def count_of(self, name: str) -> int:
        """The tenant's sockets here."""
        tenant = self._tenants.get(name)
        return tenant.count if tenant else 0

    def connections(self) -> list[Connection]:
        """Every registered connection."""
        return [
            connection
            for tenant in self._tenants.values()
            for sockets in tenant.sessions.values()
            for connection in sockets
        ]

    def figures(self) -> list[tuple[str, str, str, int]]:
        """Open connections counted by tenant, tier and state: now, or of thousands a few seconds ago."""
        began = time.monotonic()
        if began >= self._rows_until:
            rows = Tally(
                (connection.tenant, connection.tier, connection.state) for connection in self.connections()
            )
            self._rows = [(*row, count) for row, count in rows.most_common()]
            ended = time.monotonic()
            self._rows_until = ended + COUNT_RARELY * (ended - began)
        return self._rows

    def _add(self, connection: Connection) -> None:
        tenant = self._tenants.setdefault(connection.tenant, _Tenant())
        tenant.unused_since = None
        tenant.sessions.setdefault(connection.session, set()).add(connection)
        self._tenant_of_channel[self._keys.events(connection.tenant)] = connection.tenant
        self.count += 1
        tenant.count += 1
        connection.unread = self._unread
        if connection.expires is not None:
            self._expiring.add(connection)
