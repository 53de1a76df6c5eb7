"""The scripts of the way in: admit a task, push it, note that it is queued."""

from typing import Final, Literal

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Ended
from orchestrator.broker.errands import Errand
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.turn_policies import TurnPolicy

Outcome = Literal[
    "accepted", "replayed", "conflict", "session_denied", "ask", "access_denied", "tier_mismatch", "rate_limited",
    "queue_full", "late", "session_busy", "merge", "steer",
]  # fmt: skip

MARKER_SLACK_MS: Final = 60_000
"""How long a push marker outlives the deadline."""


class LimitState(msgspec.Struct, frozen=True, array_like=True):
    """Where one limit stands after this send."""

    limit: int
    left: int
    reset_seconds: int


class AdmitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `admit.lua` needs to know of a send; moments and durations in microseconds."""

    task: str
    session: str
    user: str
    context: str
    contexts: list[str]
    tier: Tier
    queue: str
    stream: bool
    created: int
    deadline: int
    not_after: int
    fingerprint: str
    idempotency: str
    idempotency_ttl: int
    validate: bool
    session_limit: int
    per_minute: int
    burst: int
    max_outstanding: int
    max_outstanding_bytes: int
    turn_policy: TurnPolicy | None = None
    """None: as the context is set."""
    merged: list[str] | None = None
    """The tasks whose messages the payload carries on."""


class AdmitReply(msgspec.Struct, frozen=True):
    """What became of it; `task`, `position`, `created` and `queue` are the first answer's on a replay."""

    outcome: Outcome
    task: str = ""
    position: str = ""
    created: int = 0
    queue: str = ""
    detail: str = ""
    s: LimitState | None = None
    t: LimitState | None = None
    retry_after: float = 0.0
    own: dict[str, int] = {}
    """The tenant's own limits, where it was accepted."""
    watched: bool = False
    """Whether the tenant has sockets, where it was accepted."""
    held: bool = False
    """It was accepted and is not to be pushed: it waits its turn, or has ended since."""
    ended: list[Ended] = []
    errands: list[Errand] = []
    waiting: list[str] = []
    """With `merge`: the tasks whose messages it shall carry on."""
    payloads: list[bytes] = []
    """Those of `errands`, or of `waiting`."""


_reply: Final = msgspec.msgpack.Decoder(AdmitReply).decode


class Admissions:
    """Typed calls of `admit.lua`, `push.lua`, `withdraw.lua` and `mark_queued.lua`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def admit(
        self, tenant: str, request: AdmitRequest, payload: bytes, inbox: bytes | None = None
    ) -> AdmitReply:
        """Record a task, all or nothing. Idempotent by `request.task`.

        `inbox` is the message for a running agent, wanted after the outcome `steer`.
        """
        members = msgspec.structs.asdict(request)
        if request.turn_policy is None:
            del members["turn_policy"], members["merged"]
        arguments = self._broker.arguments(**members)
        told = (arguments, payload) if inbox is None else (arguments, payload, inbox)
        reply = await self._broker.run("admit", self._broker.keys.callbacks(tenant), *told)
        if isinstance(reply, bytes):
            return _reply(reply)
        first, *payloads = reply
        return msgspec.structs.replace(_reply(first), payloads=payloads)

    async def limit_state(
        self, tenant: str, *, session: str, user: str, session_limit: int, per_minute: int, burst: int
    ) -> AdmitReply:
        """Where the limits of a send stand, without those of a session that is another user's; nothing is spent."""
        arguments = self._broker.arguments(
            session=session,
            user=user,
            session_limit=session_limit,
            per_minute=per_minute,
            burst=burst,
            max_outstanding=0,
            max_outstanding_bytes=0,
        )
        return _reply(
            await self._broker.run("limit_state", self._broker.keys.callbacks(tenant), arguments, b"")
        )

    async def push(
        self,
        queue: str,
        task: str,
        attempt: int,
        payload: bytes,
        marker_ms: int,
        *,
        side: Literal["left", "right"] = "left",
        old_attempt: int = 0,
    ) -> bool:
        """Put an attempt on its queue unless that was done before; `old_attempt` leaves it. Idempotent.

        On the right it is the next to be taken.
        """
        arguments = (task, attempt, payload, marker_ms, side, old_attempt)
        reply = await self._broker.run("push", queue, *arguments)
        return reply == b"pushed"

    async def withdraw(self, queue: str, task: str, attempt: int, marker_ms: int) -> bool:
        """Take an attempt off its queue; False where an agent has it already. Idempotent."""
        return bool(await self._broker.run("withdraw", queue, task, attempt, marker_ms))

    async def mark_queued(self, tenant: str, *attempts: tuple[str, int]) -> None:
        """Note that these attempts of tasks are on their queues. Idempotent."""
        flat = [part for attempt in attempts for part in attempt]
        await self._broker.run("mark_queued", self._broker.keys.callbacks(tenant), *flat)
