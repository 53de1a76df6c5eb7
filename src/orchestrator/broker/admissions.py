"""The scripts of the way in: admit a task, push it, note that it is queued."""

import asyncio
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Ended
from orchestrator.broker.errands import Errand
from orchestrator.broker.together import Together
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.turn_policies import TurnPolicy

Outcome = Literal[
    "accepted", "replayed", "conflict", "session_denied", "ask", "access_denied", "tier_mismatch", "rate_limited",
    "queue_full", "late", "session_busy", "plan", "alone", "merge", "steer",
]  # fmt: skip

MARKER_SLACK_MS: Final = 60_000
"""How long a push marker outlives the deadline."""


class LimitState(msgspec.Struct, frozen=True, array_like=True):
    """Where one limit stands after this send."""

    limit: int
    left: int
    reset_seconds: int


class AdmitRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `admit.lua` needs to know of a send; moments and durations in microseconds."""

    task: str
    session: str
    user: str = ""
    context: str
    contexts: list[str]
    tier: Tier
    queue: str
    stream: bool
    created: int
    deadline: int
    not_after: int
    planned: str | None = None
    """The plan of the agenda that is relied on (see `Agenda.plan`); None: the tenant was put on it just now."""
    fingerprint: str = ""
    idempotency: str = ""
    idempotency_ttl: int
    validate: bool
    session_limit: int
    per_minute: int
    burst: int
    max_outstanding: int
    max_outstanding_bytes: int
    within_reach: bool = False
    """The queue may be pushed to by the script itself (see `Admissions.reach_queues`)."""
    turn_policy: TurnPolicy | None = None
    """None: as the context is set."""
    merged: list[str] | None = None
    """The tasks whose messages the payload carries on."""
    inbox: str | None = None
    """The message for a running agent, wanted after the outcome `steer`."""


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
    tended: str | None = None
    """When the tenant was looked at last, where it was accepted."""
    pushed: bool = False
    """It was accepted and is on its queue, or has been."""
    held: bool = False
    """It was accepted and is not to be pushed: it waits its turn, or has ended since."""
    ended: list[Ended] = []
    errands: list[Errand] = []
    waiting: list[str] = []
    """With `merge`: the tasks whose messages it shall carry on."""
    payloads: list[bytes] = []
    """Those of `errands`, or of `waiting`."""


class Push(msgspec.Struct, frozen=True):
    """An attempt that goes to its queue, on the right as the next to be taken; `old_attempt` leaves it."""

    task: str
    attempt: int
    payload: bytes
    marker_ms: int
    side: Literal["left", "right"] = "left"
    old_attempt: int = 0


Asked = tuple[AdmitRequest, bytes]
"""A send, and the task as it will be pushed."""

_AT_ONCE: Final = 16
"""Sends that share a call: one or two milliseconds of Redis."""
_BYTES_AT_ONCE: Final = 256 * 1024

_encode: Final = msgspec.msgpack.Encoder().encode
_reply: Final = msgspec.msgpack.Decoder(AdmitReply).decode
_replies: Final = msgspec.msgpack.Decoder(list[AdmitReply]).decode


class Admissions:
    """Typed calls of `admit.lua`, `push.lua`, `withdraw.lua` and `mark_queued.lua`.

    What is asked while a call is under way shares the next one: of a tenant, or of a queue.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._admitting = Together(
            self._admit_all, most=_AT_ONCE, bytes_most=_BYTES_AT_ONCE, size_of=lambda asked: len(asked[1])
        )
        self._pushing = Together(
            self._push_all, most=_AT_ONCE, bytes_most=_BYTES_AT_ONCE, size_of=lambda push: len(push.payload)
        )
        self._marking = Together(self._mark_all, most=4 * _AT_ONCE, bytes_most=1, size_of=lambda _attempt: 0)

    @property
    def reach_queues(self) -> bool:
        """Whether an admission may push its task itself: in a Cluster the queue lies in another slot."""
        return not self._broker.topology.is_cluster

    async def settled(self) -> None:
        """Return when everything that was asked has its answer."""
        for together in (self._admitting, self._pushing, self._marking):
            await together.settled()

    async def admit(self, tenant: str, request: AdmitRequest, payload: bytes) -> AdmitReply:
        """Record a task, all or nothing, and push it where that is within reach. Idempotent by `request.task`."""
        reply = await self._admitting.add(tenant, (request, payload))
        return (await self._admit_all(tenant, [(request, payload)]))[0] if reply.outcome == "alone" else reply

    async def _admit_all(self, tenant: str, asked: Sequence[Asked]) -> list[AdmitReply]:
        arguments = [part for request, payload in asked for part in (_encode(request), payload)]
        queue = self._broker.keys.callbacks(tenant)
        told, *payloads = await self._broker.run("admit", queue, self._broker.arguments(), *arguments)
        replies = _replies(told)
        if payloads:
            replies[0] = msgspec.structs.replace(replies[0], payloads=payloads)
        return replies

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
        return _reply(await self._broker.run("limit_state", self._broker.keys.callbacks(tenant), arguments))

    def push(
        self,
        queue: str,
        task: str,
        attempt: int,
        payload: bytes,
        marker_ms: int,
        *,
        side: Literal["left", "right"] = "left",
        old_attempt: int = 0,
    ) -> asyncio.Future[bool]:
        """Put an attempt on its queue unless that was done before; `old_attempt` leaves it. Idempotent.

        On the right it is the next to be taken.
        """
        return self._pushing.add(queue, Push(task, attempt, payload, marker_ms, side, old_attempt))

    async def _push_all(self, queue: str, pushes: Sequence[Push]) -> list[bool]:
        arguments = [part for push in pushes for part in msgspec.structs.astuple(push)]
        return [reply == b"pushed" for reply in await self._broker.run("push", queue, *arguments)]

    async def withdraw(self, queue: str, task: str, attempt: int, marker_ms: int) -> bool:
        """Take an attempt off its queue; False where an agent has it already. Idempotent."""
        return bool(await self._broker.run("withdraw", queue, task, attempt, marker_ms))

    def mark_queued(self, tenant: str, attempt: tuple[str, int]) -> asyncio.Future[None]:
        """Note that this attempt of a task is on its queue. Idempotent."""
        return self._marking.add(tenant, attempt)

    async def _mark_all(self, tenant: str, attempts: Sequence[tuple[str, int]]) -> list[None]:
        flat = [part for attempt in attempts for part in attempt]
        await self._broker.run("mark_queued", self._broker.keys.callbacks(tenant), *flat)
        return [None] * len(attempts)
