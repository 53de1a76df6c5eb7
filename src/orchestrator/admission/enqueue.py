"""The last stage: an admitted task goes to its agent's queue."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from orchestrator.broker.admissions import MARKER_SLACK_MS, Admissions
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.tasks import UNPUSHED_PATIENCE_MICROS
from orchestrator.telemetry import Log, LogEvent


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is recorded and will end exactly once; only `Sender` makes one."""

    tenant: str
    session: str
    task: str
    queue: str
    payload: bytes
    created: int
    deadline: int


class Enqueue:
    """Pushes admitted tasks. What fails here is repeated by the agenda, not by the client."""

    def __init__(
        self, admissions: Admissions, agenda: Agenda, on_queue: Callable[[str], None], log: Log
    ) -> None:
        self._admissions = admissions
        self._agenda = agenda
        self._on_queue = on_queue
        self._log = log
        self._background: set[asyncio.Task[None]] = set()

    async def push(self, admission: Admission) -> None:
        """Put the task on its queue and note that; a Redis fault leaves both to the agenda."""
        marker_ms = (admission.deadline - admission.created) // 1000 + MARKER_SLACK_MS
        try:
            await self._admissions.push(admission.queue, admission.task, 1, admission.payload, marker_ms)
        except BrokerError as error:
            self._log.warning(
                LogEvent.PUSH_FAILED,
                tenant_id=admission.tenant,
                session_id=admission.session,
                task_id=admission.task,
                error=str(error),
            )
            self._later(self._agenda.note(admission.tenant, admission.created + UNPUSHED_PATIENCE_MICROS))
            return
        self._on_queue(admission.queue)
        # Nobody waits for these two: the agenda finds a task whose note was lost, and push is idempotent.
        self._later(self._admissions.mark_queued(admission.tenant, admission.task))
        self._later(self._agenda.note(admission.tenant, admission.deadline))

    async def close(self) -> None:
        """Wait for what was left to the background."""
        await asyncio.gather(*self._background, return_exceptions=True)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.create_task(_quietly(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _quietly(work: Awaitable[None]) -> None:
    with suppress(BrokerError):
        await work
