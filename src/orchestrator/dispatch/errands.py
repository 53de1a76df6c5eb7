"""The one way by which an attempt gets to its agents' queue, and off it again."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from orchestrator.broker.admissions import Admissions
from orchestrator.broker.callbacks import Ended
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.errands import Errand, Errands
from orchestrator.protocol.task_message import for_attempt
from orchestrator.protocol.tiers import Tier
from orchestrator.telemetry import Log, LogEvent


class Announcer(Protocol):
    """Tells the fair dispatch what is on queues, and what is over."""

    def is_expected(self, tenant: str, queue: str) -> bool:
        """Whether `expect` has nothing to tell now."""
        ...

    def is_known(self, tenant: str, tier: Tier) -> bool:
        """The same of any queue of its tier, whatever the tenant's next admission says of its limits."""
        ...

    async def expect(self, tenant: str, queue: str) -> None:
        """Something of the tenant is about to be on this queue. Idempotent."""
        ...

    def may_be_served(self, queue: str) -> bool:
        """Whether workers of the SDK may serve the queue; else `announce` has nothing to do now."""
        ...

    async def announce(self, tenant: str, task: str, attempt: int, queue: str) -> None:
        """Have it claimed in its turn, where workers of the SDK serve the queue. Idempotent."""
        ...

    async def ended(self, tasks: Sequence[str]) -> None:
        """Free the places of tasks that the service has ended, and tell who runs them. Idempotent."""
        ...


class ErrandRunner:
    """Pushes attempts and takes them off again. Every step is idempotent, so the agenda repeats what failed.

    Without an announcer workers find by themselves what waits, a moment later.
    """

    def __init__(self, admissions: Admissions, log: Log, announcer: Announcer | None = None) -> None:
        self._admissions = admissions
        self._announcer = announcer
        self._log = log

    async def run(self, tenant: str, errands: Errands, ended: Sequence[Ended] = ()) -> None:
        """Do what a script left to be done; what fails is logged, and listed again by the next look.

        `ended`: tasks that the service has ended itself.
        """
        for errand, payload in errands:
            try:
                await self._run(tenant, errand, payload)
            except BrokerError as error:
                self._log.warning(
                    LogEvent.PUSH_FAILED, tenant_id=tenant, task_id=errand.task, error=str(error)
                )
        if ended and self._announcer:
            await self._announcer.ended([task.task for task in ended])

    async def settled(self) -> None:
        """Return when what was begun here is done."""
        await self._admissions.settled()

    def is_within_reach(self, tenant: str, tier: Tier) -> bool:
        """Whether an admission may put its task on a queue of its tier itself; else it is pushed from here."""
        known = self._announcer is None or self._announcer.is_known(tenant, tier)
        return known and self._admissions.reach_queues

    def push(self, tenant: str, errand: Errand, payload: bytes) -> asyncio.Future[bool]:
        """Put an attempt on its queue, a repeated one as the next to be taken; False where it was there before."""
        if self._announcer is None or self._announcer.is_expected(tenant, errand.queue):
            return self._push(errand, payload)
        return asyncio.ensure_future(self._push_expected(self._announcer, tenant, errand, payload))

    async def _push_expected(self, announcer: Announcer, tenant: str, errand: Errand, payload: bytes) -> bool:
        await announcer.expect(tenant, errand.queue)
        return await self._push(errand, payload)

    def _push(self, errand: Errand, payload: bytes) -> asyncio.Future[bool]:
        attempt = errand.attempt
        return self._admissions.push(
            errand.queue,
            errand.task,
            attempt,
            for_attempt(payload, attempt, errand.deadline),
            errand.marker_ms,
            side="left" if attempt == 1 else "right",
            old_attempt=attempt - 1,
        )

    def announce(self, tenant: str, task: str, attempt: int, queue: str) -> Awaitable[None] | None:
        """Have the dispatch hear of what is on a queue; None where it need not."""
        if self._announcer is None or not self._announcer.may_be_served(queue):
            return None
        return self._announcer.announce(tenant, task, attempt, queue)

    def settle(self, tenant: str, errand: Errand) -> asyncio.Future[None]:
        """What follows a push: the dispatch hears of it, and the agenda forgets it."""
        telling = self.announce(tenant, errand.task, errand.attempt, errand.queue)
        if telling is None:
            return self._admissions.mark_queued(tenant, (errand.task, errand.attempt))
        return asyncio.ensure_future(self._settle_announced(telling, tenant, errand))

    async def _settle_announced(self, telling: Awaitable[None], tenant: str, errand: Errand) -> None:
        await telling
        await self._admissions.mark_queued(tenant, (errand.task, errand.attempt))

    async def _run(self, tenant: str, errand: Errand, payload: bytes) -> None:
        if errand.withdraw:
            await self._admissions.withdraw(errand.queue, errand.task, errand.attempt, errand.marker_ms)
            return
        done = await self.push(tenant, errand, payload)
        await self.settle(tenant, errand)
        if done:
            self._log.info(
                LogEvent.TASK_QUEUED, tenant_id=tenant, task_id=errand.task, attempt=errand.attempt
            )
