"""The fair dispatch: who waits, whose turn it is, who runs what, and until when that holds.

All of it lies in one slot, `{dispatch}`, shared by every deployment and worker on a server, and is no more than a rule
of order: an attempt is owned by whoever removes it from its queue. What is lost here is found again by the workers.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from orchestrator.broker.connection import BrokerError, Reply
from orchestrator.protocol.tiers import Tier

RunScript = Callable[..., Awaitable[Reply]]
"""`run(script, key, *arguments)`: how the service and the workers run a script at the server of a key."""

CONTEXTS_AT_ONCE: Final = 500
HANDED_AGAIN_MS: Final = 5_000
"""After how long a lapsed lease is handed out again unless somebody has finished it."""
CLAIMED_AT_ONCE: Final = 64
RENEWED_AT_ONCE: Final = 200
FINISHED_AT_ONCE: Final = 64
_CLAIMS_MAX: Final = 20
"""Calls of a claim that may bring less than was asked for."""
_GAP_MS: Final = 3_000
"""How long nobody has looked for lapsed leases where Redis, or all who look, were away."""
_SLOT: Final = "{dispatch}:workers"

_encode: Final = msgspec.msgpack.Encoder().encode


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that is on its queue. `home` is the tenant's callback queue; `cap` 0 is none."""

    task: str
    attempt: int
    context: str
    tier: Tier
    home: str
    weight: int = 1
    cap: int = 0


class Claimed(msgspec.Struct, frozen=True, array_like=True):
    """An attempt whose turn it is; it is the worker's once `take` has it."""

    task: str
    attempt: int
    context: str
    tier: Tier
    home: str


class Lapsed(msgspec.Struct, frozen=True, array_like=True):
    """A run whose worker has not renewed its lease in time."""

    task: str
    attempt: int
    home: str
    context: str
    worker: str
    again_at: int = 0
    """When it comes again, ms by the server's clock."""


class Served(msgspec.Struct, frozen=True):
    """How many workers live, and which of the contexts asked for one of them serves."""

    workers: int
    contexts: frozenset[str]


_claims: Final = msgspec.msgpack.Decoder(tuple[bool, list[Claimed]]).decode
_places: Final = msgspec.msgpack.Decoder(list[int]).decode
_lapsed: Final = msgspec.msgpack.Decoder(list[Lapsed]).decode
_served: Final = msgspec.msgpack.Decoder(tuple[int, list[int]]).decode


class Dispatch:
    """Typed calls of the scripts of the dispatch slot; all but `claim` may be repeated. Raises what `run` raises."""

    def __init__(self, run: RunScript) -> None:
        self._run = run

    async def ready(self, entries: Sequence[Waiting], *, adopted: bool = False) -> int:
        """Attempts are on their queues: each gets its place, and an idle worker is woken. How many are new.

        With `adopted`, weight and cap are a guess: those of a tenant that is known stay.
        """
        return int(await self._run("ready", _SLOT, _encode(entries), int(adopted)))

    async def claim(self, worker: str, lease_ms: int, n: int) -> list[Claimed]:
        """The attempts whose turn it is, `n` at most; none for a worker that is not registered.

        With a slot left the worker is idle from then on, and its wake list tells when to come again.
        With `n` = 0 somebody else is woken instead. An error after some were claimed is none.
        """
        claimed: list[Claimed] = []
        for _ in range(_CLAIMS_MAX + n // CLAIMED_AT_ONCE):
            try:
                more = await self._claim_some(worker, lease_ms, n - len(claimed), claimed)
            except BrokerError:
                if claimed:
                    break
                raise
            if not more:
                break
        return claimed

    async def _claim_some(self, worker: str, lease_ms: int, n: int, claimed: list[Claimed]) -> bool:
        """One call, which does not keep the server for long. Whether there may be more to claim."""
        asked = min(n, CLAIMED_AT_ONCE)
        reply = await self._run("claim", _SLOT, worker, lease_ms, asked)
        if reply is None:
            return False
        again, some = _claims(reply)
        claimed += some
        return len(some) < n and (again or len(some) == asked)

    async def register(self, worker: str, contexts: Sequence[str], slots: int, lease_ms: int) -> None:
        """The worker lives until `lease_ms` from now, and serves these contexts. Again, it costs one small call."""
        beat = (worker, lease_ms, slots, len(set(contexts)))
        if await self._run("register", _SLOT, *beat):
            return
        for start in range(0, len(contexts), CONTEXTS_AT_ONCE):
            await self._run("register", _SLOT, *beat, *contexts[start : start + CONTEXTS_AT_ONCE])

    async def leave(self, worker: str) -> None:
        """The worker takes nothing any more; leases that it has go on."""
        while await self._run("leave", _SLOT, worker):
            pass

    async def renew(self, worker: str, lease_ms: int, held: Sequence[Claimed]) -> list[Claimed]:
        """The worker lives, and goes on with these; those of them that are not its own any more."""
        lost: list[Claimed] = []
        for start in range(0, len(held) or 1, RENEWED_AT_ONCE):
            some = held[start : start + RENEWED_AT_ONCE]
            places = _places(await self._run("renew", _SLOT, worker, lease_ms, _encode(some)))
            lost += [some[place - 1] for place in places]
        return lost

    async def finish(
        self, tasks: Sequence[tuple[str, int]], worker: str = "", *, tell: bool = False, ran: bool = True
    ) -> None:
        """These attempts (0: any) are over, if `worker` has them ('': whoever has). Their real seconds are charged.

        `tell` says so to the worker that has one. Not `ran`: the worker got nothing from the queue, nothing is charged.
        """
        for start in range(0, len(tasks), FINISHED_AT_ONCE):
            some = tasks[start : start + FINISHED_AT_ONCE]
            await self._run("finish", _SLOT, _encode((worker, tell, ran, some)))

    async def pause(self, task: str, attempt: int) -> None:
        """The run waits for a human: it holds no place under the cap and is not charged."""
        await self._run("pause", _SLOT, task, attempt, 1)

    async def resume(self, task: str, attempt: int) -> None:
        """The run goes on, whoever has got its place meanwhile."""
        await self._run("pause", _SLOT, task, attempt, 0)

    async def overdue(
        self, prefix: str, limit: int, again_ms: int = HANDED_AGAIN_MS, *, renewal_ms: int = 0
    ) -> list[Lapsed]:
        """Runs of the deployment with this callback prefix whose leases are over, `limit` at most.

        They come again after `again_ms` until somebody finishes them. `renewal_ms` is how often workers renew: where
        nobody has looked for a while, Redis may have been away, and there are none until workers could renew.
        """
        patience = (max(_GAP_MS, renewal_ms), renewal_ms + 1_000 if renewal_ms else 0)
        return _lapsed(await self._run("overdue", _SLOT, prefix, limit, again_ms, *patience))

    async def still_over(self, prefix: str, lapsed: Lapsed) -> bool:
        """Whether nobody has renewed that lease, or finished it, since `overdue` told of it."""
        return bool(await self._run("still_over", _SLOT, prefix, lapsed.task, lapsed.again_at))

    async def retune(self, home: str, weight: int, cap: int) -> None:
        """The tenant's weight and cap (0: none) are these from now on, for what waits already too."""
        await self._run("retune", _SLOT, home, weight, cap)

    async def served(self, contexts: Sequence[str] = ()) -> Served:
        """How many workers live, and which of `contexts` one of them serves."""
        workers, flags = _served(await self._run("served", _SLOT, *contexts))
        named = zip(contexts, flags, strict=True)
        return Served(workers, frozenset(context for context, flag in named if flag))

    async def known(self, queues: Sequence[tuple[str, Tier]]) -> list[int]:
        """How many attempts wait here for each queue, by context and tier."""
        places = [f"{context}:{tier}" for context, tier in queues]
        return list(await self._run("depths", _SLOT, *places))

    async def homes(self, prefix: str) -> list[str]:
        """The tenants of the deployment with this callback prefix of which something came here within a day."""
        return [home.decode() for home in await self._run("homes", _SLOT, prefix)]


def wake_key(worker: str) -> str:
    """List: what a worker is woken for, `claim` or `gone <task> <attempt>`; it takes from the left."""
    return f"{{dispatch}}:wake:{worker}"
