"""A stop that is true: the task ends for every viewer before the answer, then leaves its queue (contract §3)."""

from contextlib import suppress

from orchestrator.broker.admissions import Admissions
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.tasks import Tasks
from orchestrator.delivery.endings import Endings


class Cancellation:
    """Cancels tasks."""

    def __init__(self, tasks: Tasks, admissions: Admissions, endings: Endings) -> None:
        self._tasks = tasks
        self._admissions = admissions
        self._endings = endings

    async def cancel(self, tenant: str, task: str, user: str) -> bool:
        """End the task as cancelled, or leave it as it ended; False where the caller has no such task."""
        cancelled, payload = await self._tasks.cancel(tenant, task, user)
        self._endings.note(tenant, cancelled.ended)
        if payload:
            # Lost, it costs an agent one task that it skips: the cancel key says so.
            with suppress(BrokerError):
                await self._admissions.withdraw(
                    cancelled.queue, task, cancelled.attempt, payload, cancelled.left
                )
        return cancelled.outcome != "not_found"
