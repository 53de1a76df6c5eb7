"""Does what is due: looks at tenants when the agenda says so."""

import asyncio
from typing import Final

from orchestrator.broker.admissions import Admissions
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.tasks import Errand, Tasks
from orchestrator.delivery.callback_worker import CallbackWorker
from orchestrator.delivery.endings import Endings
from orchestrator.protocol.shares import Shares
from orchestrator.telemetry import Log, LogEvent

LOOK_SECONDS: Final = 0.5
PUMP_SECONDS: Final = 1.0
"""How long waiting callbacks may take before deadlines are enforced all the same."""


class Sweeper:
    """Ends overdue tasks, pushes what was recorded and never pushed, finds forgotten callbacks."""

    def __init__(
        self,
        agenda: Agenda,
        tasks: Tasks,
        admissions: Admissions,
        worker: CallbackWorker,
        endings: Endings,
        log: Log,
    ) -> None:
        self._agenda = agenda
        self._tasks = tasks
        self._admissions = admissions
        self._worker = worker
        self._endings = endings
        self._log = log

    async def sweep(self, shares: Shares) -> None:
        """Look at every due tenant of this replica's parts once."""
        due = await self._agenda.due(shares.parts)
        await asyncio.gather(*(self._look(tenant, score) for tenant, score in due))

    async def _look(self, tenant: str, score: bytes) -> None:
        """Callbacks first: an answer that came in time counts, though nobody was there to take it."""
        try:
            await self._pump(tenant)
            tended, payloads = await self._tasks.tend(tenant)
            self._endings.note(tenant, tended.ended)
            for errand, payload in zip(tended.errands, payloads, strict=True):
                await self._run(tenant, errand, payload)
            await self._agenda.reschedule(tenant, score, tended.next)
        except BrokerError as error:
            # It stays on the agenda as it was, so the next look finds it due again.
            self._log.warning(LogEvent.AGENDA_FAILED, tenant_id=tenant, error=str(error))

    async def _pump(self, tenant: str) -> None:
        self._worker.ring(tenant)
        try:
            async with asyncio.timeout(PUMP_SECONDS):
                await self._worker.settled(tenant)
        except TimeoutError:
            return

    async def _run(self, tenant: str, errand: Errand, payload: bytes) -> None:
        push = self._admissions.withdraw if errand.withdraw else self._admissions.push
        try:
            done = await push(errand.queue, errand.task, errand.attempt, payload, errand.marker_ms)
        except BrokerError as error:
            self._log.warning(LogEvent.PUSH_FAILED, tenant_id=tenant, task_id=errand.task, error=str(error))
            return
        if not errand.withdraw:
            await self._admissions.mark_queued(tenant, errand.task)
            if done:
                self._log.info(LogEvent.TASK_QUEUED, tenant_id=tenant, task_id=errand.task, late=True)
