"""Does what is due: looks at tenants when the agenda says so."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.connection import BrokerError, Refused, ReplyLost, Unavailable
from orchestrator.broker.rights import Rights
from orchestrator.broker.tasks import Tasks
from orchestrator.delivery.callback_worker import CallbackWorker
from orchestrator.delivery.endings import Endings
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.dispatch.explanation import Explainer
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.shares import Shares
from orchestrator.telemetry import Log, LogEvent

LOOK_SECONDS: Final = 0.5
PUMP_SECONDS: Final = 1.0
"""How long waiting callbacks may take before deadlines are enforced all the same."""
_GAP_SECONDS: Final = 3.0
"""Between two sweeps; where it was longer, Redis or this replica was away, and agents could not be heard."""


class Sweeper:
    """Ends overdue tasks, retries those whose lease is over, pushes what is to be pushed, finds forgotten callbacks."""

    def __init__(
        self,
        *,
        agenda: Agenda,
        tasks: Tasks,
        errands: ErrandRunner,
        worker: CallbackWorker,
        rights: Rights,
        endings: Endings,
        explainer: Explainer,
        metrics: Metrics,
        log: Log,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agenda = agenda
        self._tasks = tasks
        self._errands = errands
        self._worker = worker
        self._rights = rights
        self._endings = endings
        self._explainer = explainer
        self._metrics = metrics
        self._log = log
        self._now = now
        self._swept = self._heard_since = -math.inf

    async def sweep(self, shares: Shares) -> None:
        """Look at every due tenant of this replica's parts once."""
        if not self._rights.granted:
            return  # an answer that came in time could not be taken first
        due = await self._agenda.due(shares.parts)
        if self._now() - self._swept > _GAP_SECONDS:
            self._heard_since = self._now()
        await asyncio.gather(*(self._look(tenant, score) for tenant, score in due))
        self._swept = self._now()

    async def _look(self, tenant: str, score: bytes) -> None:
        """Callbacks first: an answer that came in time counts, though nobody was there to take it."""
        heard = self._now() - self._heard_since
        try:
            await self.pump(tenant)
            tended, errands = await self._tasks.tend(tenant, heard)
            self._endings.note(tenant, tended.ended)
            self._metrics.count(Counter.TASKS_RETRIED, "worker_lost", by=tended.lost)
            await self._errands.run(tenant, errands, tended.ended)
            self._endings.note_holding(tenant, tended.turns)
            self._endings.note_moves(tended.moves)
            await self._agenda.reschedule(tenant, score, tended.next)
            await self._explainer.tell(tenant, tended.waits)
        except BrokerError as error:
            # It stays on the agenda as it was, so the next look finds it due again.
            if isinstance(error, Unavailable | ReplyLost):
                self._heard_since = self._now()  # of a Cluster the tenant's node alone may be away
            if isinstance(error, Refused) and error.within_script:
                self._rights.doubt(error)
            self._log.warning(LogEvent.AGENDA_FAILED, tenant_id=tenant, error=str(error))

    async def pump(self, tenant: str) -> None:
        """Take the callbacks that wait for a tenant, within a bounded time."""
        self._worker.ring(tenant)
        try:
            async with asyncio.timeout(PUMP_SECONDS):
                await self._worker.settled(tenant)
        except TimeoutError:
            return
