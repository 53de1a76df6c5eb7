"""The last stage: an admitted task goes to its agent's queue."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from orchestrator.admission.new_task import NewTask
from orchestrator.broker.admissions import MARKER_SLACK_MS, AdmitReply
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.errands import Errand
from orchestrator.broker.tasks import UNPUSHED_PATIENCE_MICROS
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.telemetry import Log, LogEvent

PUSH_SECONDS: Final = 0.4
WATCHED_LOOK_MICROS: Final = 3_500_000
"""When a task is looked at that somebody may be watching: by then tend.lua has it explained, if it still waits."""


class Admission(msgspec.Struct, frozen=True):
    """The right to push a task: it is recorded and will end exactly once.

    Only `Sender` makes one, of a script's yes.
    """

    new: NewTask
    watched: bool = False
    """Somebody may be watching: should the task wait, he is told why."""


class Enqueue:
    """Pushes admitted tasks. What fails here is repeated by the agenda, not by the client."""

    def __init__(
        self, errands: ErrandRunner, agenda: Agenda, on_queue: Callable[[str], None], log: Log
    ) -> None:
        self._errands = errands
        self._agenda = agenda
        self._on_queue = on_queue
        self._log = log
        self._background: set[asyncio.Task[None]] = set()

    async def push(self, admission: Admission) -> None:
        """Put the task on its queue and note that; a Redis fault leaves both to the agenda.

        Returns after `PUSH_SECONDS` at the latest, since the caller waits for an answer that is already sure.
        """
        await asyncio.wait((self.later(self._push(admission.new, admission.watched)),), timeout=PUSH_SECONDS)

    async def _push(self, new: NewTask, watched: bool) -> None:
        marker_ms = (new.deadline - new.created) // 1000 + MARKER_SLACK_MS
        errand = Errand(new.task, 1, new.queue, marker_ms, withdraw=False, deadline=new.deadline)
        try:
            await self._errands.push(new.tenant, errand, new.payload)
        except BrokerError as error:
            self._log.warning(
                LogEvent.PUSH_FAILED,
                tenant_id=new.tenant,
                session_id=new.session,
                task_id=new.task,
                error=str(error),
            )
            self.later(self._agenda.note(new.tenant, new.created + UNPUSHED_PATIENCE_MICROS))
            return
        self._on_queue(new.queue)
        # Nobody waits for these two: the agenda finds a task whose note was lost, and push is idempotent.
        self.later(self._errands.settle(new.tenant, errand))
        look = new.created + WATCHED_LOOK_MICROS if watched else new.deadline
        self.later(self._agenda.note(new.tenant, min(new.deadline, look)))

    def hold(self, admission: Admission) -> None:
        """The task waits its turn; whoever ends what it waits for pushes it."""
        self._on_queue(admission.new.queue)

    def withdraw(self, tenant: str, reply: AdmitReply) -> None:
        """What an admission ended leaves its queue while nobody waits: the agents are told besides."""
        if reply.ended:
            errands = list(zip(reply.errands, reply.payloads, strict=True))
            self.later(self._errands.run(tenant, errands, reply.ended))

    async def close(self) -> None:
        """Wait for what was left to the background."""
        await asyncio.gather(*self._background, return_exceptions=True)

    def later(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Do `work` while nobody waits; `close` does. A Redis fault is left to whoever looks next."""
        task = asyncio.create_task(_quietly(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


async def _quietly(work: Awaitable[None]) -> None:
    with suppress(BrokerError):
        await work
