"""A stop that is true: the task ends for every viewer before the answer, then leaves its queue (contract §3)."""

import asyncio
from collections import Counter
from typing import Final

from orchestrator.auth.identity import Identity
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.tasks import CancelCode, Tasks
from orchestrator.delivery.endings import Endings
from orchestrator.dispatch.errands import ErrandRunner

AT_ONCE: Final = 64
"""Tasks of a suspended tenant that are ended at a time."""
SUSPENDED_MAX: Final = 100_000
"""Where admission does not look at the tenant, tasks come as fast as they end."""


class Cancellation:
    """Cancels tasks."""

    def __init__(self, tasks: Tasks, errands: ErrandRunner, endings: Endings) -> None:
        self._tasks = tasks
        self._errands = errands
        self._endings = endings

    async def cancel(self, identity: Identity, task: str) -> bool:
        """End the task as cancelled, or leave it as it ended; False where the caller has no such task."""
        session = (identity.session or "") if identity.bound else ""
        outcome = await self._end(identity.tenant, task, identity.user, "cancelled", session)
        return outcome != "not_found"

    async def suspend(self, tenant: str) -> tuple[int, int]:
        """End all open tasks with the code `suspended`: how many that were, and how many are left. Idempotent."""
        seen = stayed = 0
        outcomes = Counter[str]()
        # What ended leaves the list, so it goes on behind what stays in it.
        while page := await self._tasks.outstanding(tenant, stayed, AT_ONCE):
            if seen >= SUSPENDED_MAX:
                return outcomes["cancelled"], outcomes["failed"] + len(page)
            outcomes.update(await asyncio.gather(*(self._suspend(tenant, task) for task in page)))
            seen += len(page)
            stayed = outcomes["failed"] + outcomes["not_found"]
        return outcomes["cancelled"], outcomes["failed"]

    async def settled(self) -> None:
        """Return when what waited for the tasks that were ended here was let go."""
        await self._endings.settled()

    async def _suspend(self, tenant: str, task: str) -> str:
        """What became of the task; one that cannot be ended must not keep the others from ending."""
        try:
            return await self._end(tenant, task, "", "suspended")
        except BrokerError:
            return "failed"

    async def _end(self, tenant: str, task: str, user: str, code: CancelCode, session: str = "") -> str:
        cancelled, errands = await self._tasks.cancel(tenant, task, user, code, session)
        self._endings.note(tenant, cancelled.ended)
        # Lost, it costs an agent one task that it skips: the cancel key says so.
        await self._errands.run(tenant, errands, cancelled.ended)
        return cancelled.outcome
