"""The service's side of the fair dispatch: what workers of the SDK may claim, and what they no longer have.

Where no such worker lives this costs a look a second, and agents that take from their queues do not notice it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from orchestrator.broker.connection import BrokerError
from orchestrator.broker.dispatch import Dispatch, Lapsed, Waiting
from orchestrator.broker.keys import Keys, place_of
from orchestrator.dispatch.tenant_shares import Share, TenantShares
from orchestrator.protocol.identifiers import is_valid_id
from orchestrator.protocol.tiers import Tier

LOOK_SECONDS: Final = 0.5
SERVED_SECONDS: Final = 1.0
"""How long an answer to whether a context is served holds."""
LAPSED_PER_LOOK: Final = 100
CAP_TOLD_SECONDS: Final = 60.0
"""How often the dispatch is told of a cap while tasks come; it keeps it for a day."""
_REMEMBERED_MAX: Final = 10_000

StillOver = Callable[[], Awaitable[bool]]
"""Whether the worker has not renewed its lease meanwhile. Raises `BrokerError`."""
OnLapsed = Callable[[str, str, int, str, StillOver], Awaitable[bool]]
"""Looks after an attempt whose lease is over: tenant, task, attempt, worker. Idempotent; False where it is no more."""


class Dispatcher:
    """Announces attempts, takes ended ones back, and hands on those whose workers are gone."""

    def __init__(self, dispatch: Dispatch, keys: Keys, shares: TenantShares, lease: float) -> None:
        self._dispatch = dispatch
        self._keys = keys
        self._shares = shares
        self._renewal_ms = round(lease * 1000 / 3)
        self._contexts: dict[str, tuple[bool, float]] = {}
        self._capped: dict[str, tuple[Share, float]] = {}
        self._workers, self._asked = 1, -SERVED_SECONDS
        """How many there are as far as is known, and when that was asked."""

    def is_expected(self, tenant: str, queue: str) -> bool:
        """Whether the tenant has no cap, as far as is known, or the dispatch was told of it."""
        share = self._shares.of(tenant, place_of(queue)[1])
        return not share.sure or self._is_told(tenant, share)

    def is_known(self, tenant: str, tier: Tier) -> bool:
        """The same of any queue of its tier, where that is no guess."""
        cap = self._shares.cap(tenant, tier)
        return cap == 0 or (cap is not None and self._is_told(tenant, self._shares.of(tenant, tier)))

    def _is_told(self, tenant: str, share: Share) -> bool:
        if not share.cap:
            return True
        told, at = self._capped.get(tenant, (None, 0.0))
        return told == share and time.monotonic() - at < CAP_TOLD_SECONDS

    async def expect(self, tenant: str, queue: str) -> None:
        """An attempt is about to be on its queue: a cap of its tenant is known before a worker finds it there.

        Never raises for want of Redis: then the cap is known once the attempt is announced.
        """
        if self.is_expected(tenant, queue):
            return
        share, now = self._shares.of(tenant, place_of(queue)[1]), time.monotonic()
        if len(self._capped) >= _REMEMBERED_MAX:
            self._capped.clear()
        # Also where it fails: the next send must not wait for a dispatch that is away. Announcements tell it too.
        self._capped[tenant] = share, now
        with suppress(BrokerError):
            await self._dispatch.retune(self._keys.callbacks(tenant), share.weight, share.cap)

    def may_be_served(self, queue: str) -> bool:
        """Whether a worker may serve the queue: False where there was none a moment ago."""
        known = self._served_lately(place_of(queue)[0])
        return known is None or known

    async def announce(self, tenant: str, task: str, attempt: int, queue: str) -> None:
        """An attempt is on its queue: it is claimed in its turn, where workers serve the context. Idempotent.

        Never raises for want of Redis: workers find by themselves what waits, a moment later.
        """
        context, tier = place_of(queue)
        with suppress(BrokerError):
            if not await self._is_served(context):
                return
            share = self._shares.of(tenant, tier)
            home = self._keys.callbacks(tenant)
            waiting = Waiting(task, attempt, context, tier, home, share.weight, share.cap)
            await self._dispatch.ready([waiting], adopted=not share.sure)

    async def ended(self, tasks: Sequence[str]) -> None:
        """The service has ended these tasks: their places are free, and who runs one of them is told to stop."""
        with suppress(BrokerError):
            if tasks and await self._any_worker():
                await self._dispatch.finish([(task, 0) for task in tasks], tell=True)

    async def look(self, on_lapsed: OnLapsed) -> None:
        """Hand on every run whose lease is over; one replica does it each `LOOK_SECONDS`. Raises `BrokerError`."""
        prefix, renewal_ms = self._keys.prefix, self._renewal_ms
        lapsed = await self._dispatch.overdue(prefix, LAPSED_PER_LOOK, renewal_ms=renewal_ms)
        await asyncio.gather(*(self._hand_on(run, on_lapsed) for run in lapsed))

    async def _hand_on(self, run: Lapsed, on_lapsed: OnLapsed) -> None:
        tenant = self._keys.tenant_of(run.home)
        # What fails here comes again: the lease stays until it is finished.
        with suppress(BrokerError):
            if tenant is not None and is_valid_id(tenant):  # an agent may have made it up
                still_over = partial(self._dispatch.still_over, self._keys.prefix, run)
                if not await on_lapsed(tenant, run.task, run.attempt, run.worker, still_over):
                    return
            await self._dispatch.finish([(run.task, run.attempt)], tell=True)

    async def _any_worker(self) -> bool:
        if time.monotonic() - self._asked >= SERVED_SECONDS:
            await self._ask()
        return self._workers > 0

    async def _is_served(self, context: str) -> bool:
        known = self._served_lately(context)
        return await self._ask(context) if known is None else known

    def _served_lately(self, context: str) -> bool | None:
        """Whether the context is served; None where that has to be asked."""
        known, asked = self._contexts.get(context, (False, -SERVED_SECONDS))
        now = time.monotonic()
        if now - asked < SERVED_SECONDS:
            return known
        return False if now - self._asked < SERVED_SECONDS and not self._workers else None

    async def _ask(self, *contexts: str) -> bool:
        """How many workers live, and whether all of the contexts are served."""
        if not self._workers:
            self._asked = time.monotonic()  # where none was there, the others do not wait for this answer
        served = await self._dispatch.served(contexts)
        self._workers, self._asked = served.workers, time.monotonic()
        if len(self._contexts) >= _REMEMBERED_MAX:
            self._contexts.clear()
        for context in contexts:
            self._contexts[context] = (context in served.contexts, self._asked)
        return served.contexts.issuperset(contexts)
