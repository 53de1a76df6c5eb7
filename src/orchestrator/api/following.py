"""What a WebSocket and a stream of Server-Sent Events share: coming to a session, and leaving it."""

import asyncio
from collections.abc import Callable
from typing import Final

from orchestrator.admission.access import TRIES, Access
from orchestrator.admission.limits import Limits
from orchestrator.api.client_frames import ClientFrames
from orchestrator.auth.claims import invalid_token
from orchestrator.auth.identity import Identity
from orchestrator.auth.revocations import Revocations
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.logs import Opened
from orchestrator.deadlines import Deadlines
from orchestrator.delivery.connection import Connection, OnEnd, Outlet
from orchestrator.delivery.session_log import SessionLog
from orchestrator.delivery.settlements import Settlements
from orchestrator.delivery.websocket_manager import WebSocketManager
from orchestrator.errors import Code, Problem
from orchestrator.protocol.budget import Budget
from orchestrator.protocol.events import Event, SessionName
from orchestrator.protocol.position import EARLIEST, Position, parse_position
from orchestrator.runtime import Runtime

OPEN_SECONDS: Final = 4.0
FULL_RETRY_SECONDS: Final = 5.0
NEW_PER_SECOND: Final = 3_000.0
"""Of one process. More would only wait for each other, and those who are connected would wait with them."""
_UNREADABLE: Final = Position("", 0)

_REFUSALS: Final[dict[str, tuple[Code, str]]] = {
    "session_denied": ("session_denied", "the session belongs to another user"),
    "access_denied": ("access_denied", "the tenant is unknown or suspended"),
    "tier_mismatch": ("tier_mismatch", "the tenant is not of this tier"),
    "too_many_connections": ("rate_limited", "the tenant has as many connections as its tier allows"),
}


class Full(Exception):
    """The process has as many connections as it may."""


class Draining(Exception):
    """The replica takes no new connections."""


class Following:
    """Attaches connections to their sessions."""

    def __init__(
        self,
        *,
        manager: WebSocketManager,
        runtime: Runtime,
        log: SessionLog,
        access: Access,
        settlements: Settlements,
        frames: ClientFrames,
        revocations: Revocations,
        connections_max: int,
        limits: Limits,
        ping_interval: float,
        explain_waits: Callable[[str], None],
        new_per_second: float = NEW_PER_SECOND,
    ) -> None:
        self._manager = manager
        self._runtime = runtime
        self._log = log
        self._access = access
        self._settlements = settlements
        self._frames = frames
        self._connections_max = connections_max
        self._limits = limits
        self._arrivals = Budget(new_per_second, new_per_second, 0.0)
        self._resumes = Budget(2 * new_per_second, 2 * new_per_second, 0.0)
        self._revocations = revocations
        self._explain_waits = explain_waits
        self._deadlines = Deadlines()
        self.ping_interval: Final = ping_interval

    def _check_room(self, *, resumes: bool) -> None:
        """Raise `Draining` or `Full` where one more connection has no place.

        Who resumes is let in before who is new: they were here before, and wait in the middle of an answer.
        """
        if self._runtime.draining:
            raise Draining
        arrivals = self._resumes if resumes else self._arrivals
        if self._manager.count >= self._connections_max or not arrivals.take(
            asyncio.get_running_loop().time()
        ):
            raise Full

    async def begin(
        self, outlet: Outlet, identity: Identity, position: str | None, *, by_frame: bool = False
    ) -> Connection:
        """Attach a reader at `position`, its ack and first page queued; `by_frame` its first frame is answered, too.

        Raises `Problem` for who may not follow the session, and `unavailable` when Redis or the database is away.
        """
        tier, session = identity.of_session()
        resume = _resume(position)
        self._check_room(resumes=isinstance(resume, Position) and resume is not _UNREADABLE)
        name = SessionName(identity.tenant, session, "")
        connection = Connection(outlet, name, tier, identity.user)
        connection.expires, connection.issued = identity.expires, identity.issued
        connection.subject = identity.subject
        try:
            with self._deadlines.within(OPEN_SECONDS):
                opened, events = await self._open(connection, resume)
        except (BrokerError, TimeoutError):
            raise Problem(
                "unavailable", "Redis cannot be reached or takes no writes", retry_after=1
            ) from None
        if identity.expires is not None and self._revocations.covers(*identity.subject, identity.issued):
            # Revoked while the database was asked: nobody looked for a connection that was not there.
            self._manager.detach(connection)
            raise invalid_token("the token was revoked", "revoked")
        connection.say(self._frames.frame(connection, "connection_ack", self._ack(connection, opened)))
        if by_frame:
            self._frames.authenticated(connection, identity)
        if opened.waits:
            self._explain_waits(identity.tenant)
        connection.on_ending_sent = lambda sent, offset: self._settlements.delivered(sent.name, offset)
        self._manager.start(connection, opened, events)
        return connection

    def follow(self, connection: Connection, on_end: OnEnd) -> None:
        """Write what comes; `on_end` is called once the connection is closed or its peer has gone."""

        def ended(fault: BaseException | None) -> None:
            self._manager.detach(connection)
            on_end(fault)

        connection.follow(self._log, ended)

    async def write(self, connection: Connection) -> None:
        """Write what comes until the connection is closed or its peer has gone."""
        try:
            await connection.write(self._log)
        finally:
            self._manager.detach(connection)

    async def _open(self, connection: Connection, resume: Position | str) -> tuple[Opened, list[Event]]:
        for _ in range(TRIES):
            opened, events = await self._manager.attach(
                connection,
                resume,
                validate=self._access.enabled,
                sockets_max=self._limits.of_tier(connection.tier).max_connections,
            )
            if opened.outcome == "opened":
                return opened, events
            if opened.outcome != "ask":
                raise _refusal(opened.outcome)
            await self._access.learn(connection.tenant, (), opened.detail)
        raise Problem("unavailable", "access could not be checked", retry_after=1)

    def _ack(self, connection: Connection, opened: Opened) -> dict[str, object]:
        return {
            "connection_id": connection.id,
            "tenant_tier": connection.tier,
            "position": str(opened.position),
            "recovered": opened.recovered,
            "ping_interval": self.ping_interval,
        }


def _refusal(outcome: str) -> Problem:
    code, detail = _REFUSALS[outcome]
    return Problem(code, detail, retry_after=FULL_RETRY_SECONDS if code == "rate_limited" else None)


def _resume(position: str | None) -> Position | str:
    """What the client asked for; an unreadable position is one that cannot be honoured."""
    if position is None:
        return "live"
    if position == EARLIEST:
        return EARLIEST
    return parse_position(position) or _UNREADABLE
