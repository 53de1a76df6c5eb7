"""The last stage: an admitted task goes to its agent's queue."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from orchestrator.admission.new_task import NewTask
from orchestrator.broker.admissions import MARKER_SLACK_MS, AdmitReply
from orchestrator.broker.agenda import Agenda, Plan
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.errands import Errand
from orchestrator.broker.tasks import UNPUSHED_PATIENCE_MICROS
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.protocol.tiers import Tier
from orchestrator.telemetry import Log, LogEvent

PUSH_SECONDS: Final = 0.4
UNPUSHED_LOOK_MICROS: Final = UNPUSHED_PATIENCE_MICROS + 3_000_000
"""When a task is looked at though nothing is due: later than it can be admitted and its push was waited for."""
WATCHED_LOOK_MICROS: Final = 3_500_000
"""When a task is looked at that somebody may be watching: by then tend.lua has it explained, if it still waits."""


class Admission(msgspec.Struct, frozen=True):
    """The right to push a task: it is recorded and will end exactly once.

    Only `Sender` makes one, of a script's yes.
    """

    new: NewTask
    watched: bool = False
    """Somebody may be watching: should the task wait, he is told why."""
    tended: str | None = None
    """When its tenant was looked at last; None where that was not told."""
    planned: Plan | None = None
    """The plan of the agenda that the admission relied on: nobody had looked at the tenant since it was made."""


class Enqueue:
    """Pushes admitted tasks. What fails here is repeated by the agenda, not by the client."""

    def __init__(
        self, errands: ErrandRunner, agenda: Agenda, on_queue: Callable[[str], None], log: Log
    ) -> None:
        self._errands = errands
        self._agenda = agenda
        self._on_queue = on_queue
        self._log = log
        self._background: set[asyncio.Future[None]] = set()

    def is_within_reach(self, tenant: str, tier: Tier) -> bool:
        """Whether an admission may put its task on its queue in the same step; then it is not pushed from here."""
        return self._errands.is_within_reach(tenant, tier)

    def pushed(self, admission: Admission) -> None:
        """The task came to its queue with the admission: what else has to know hears of it while nobody waits."""
        new = admission.new
        self._on_queue(new.queue)
        telling = self._errands.announce(new.tenant, new.task, 1, new.queue)
        if telling is not None:
            self.later(telling)
        self._plan_look(admission)

    async def push(self, admission: Admission) -> None:
        """Put the task on its queue and note that; a Redis fault leaves both to the agenda.

        Returns after `PUSH_SECONDS` at the latest, since the caller waits for an answer that is already sure.
        """
        new = admission.new
        marker_ms = (new.deadline - new.created) // 1000 + MARKER_SLACK_MS
        errand = Errand(new.task, 1, new.queue, marker_ms, withdraw=False, deadline=new.deadline)
        pushing = self._errands.push(new.tenant, errand, new.payload)
        pushing.add_done_callback(partial(self._after_push, admission, errand))
        await asyncio.wait((pushing,), timeout=PUSH_SECONDS)

    def _after_push(self, admission: Admission, errand: Errand, pushing: asyncio.Future[bool]) -> None:
        """Nobody waits for what follows: the agenda finds a task whose note was lost, and push is idempotent."""
        if pushing.cancelled():
            return
        error = pushing.exception()
        if error is not None:
            self._push_failed(admission.new, error)
            return
        self._on_queue(errand.queue)
        self._in_background(self._errands.settle(admission.new.tenant, errand))
        self._plan_look(admission)

    def _plan_look(self, admission: Admission) -> None:
        new = admission.new
        soonest = WATCHED_LOOK_MICROS if admission.watched else UNPUSHED_LOOK_MICROS
        look = min(new.deadline, new.created + soonest)
        if admission.planned is None or admission.planned.look > look:
            self.later(self._plan(admission, look))

    async def _plan(self, admission: Admission, look: int) -> None:
        tenant = admission.new.tenant
        await self._agenda.note(tenant, look)
        if admission.tended is not None:
            self._agenda.keep_plan(tenant, admission.tended, look)

    def _push_failed(self, new: NewTask, error: BaseException) -> None:
        self._log.warning(
            LogEvent.PUSH_FAILED,
            tenant_id=new.tenant,
            session_id=new.session,
            task_id=new.task,
            error=str(error),
        )
        self.later(self._agenda.note(new.tenant, new.created + UNPUSHED_PATIENCE_MICROS))

    def hold(self, admission: Admission) -> None:
        """The task waits its turn; whoever ends what it waits for pushes it."""
        self._on_queue(admission.new.queue)

    def withdraw(self, tenant: str, reply: AdmitReply) -> None:
        """What an admission ended leaves its queue while nobody waits: the agents are told besides."""
        errands = list(zip(reply.errands, reply.payloads, strict=True))
        self.later(self._errands.run(tenant, errands, reply.ended))

    async def close(self) -> None:
        """Wait for what was left to the background."""
        await self._errands.settled()
        await asyncio.gather(*self._background, return_exceptions=True)

    def later(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Do `work` while nobody waits; `close` does. A Redis fault is left to whoever looks next."""
        task = asyncio.create_task(_quietly(work))
        self._in_background(task)
        return task

    def _in_background(self, work: asyncio.Future[None]) -> None:
        self._background.add(work)
        work.add_done_callback(self._forget)

    def _forget(self, work: asyncio.Future[None]) -> None:
        self._background.discard(work)
        if not work.cancelled():
            work.exception()  # who looks next does it again


async def _quietly(work: Awaitable[None]) -> None:
    with suppress(BrokerError):
        await work
