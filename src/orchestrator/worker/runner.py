"""A worker at work: what it holds, what runs, how it comes to rest."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import msgspec

from orchestrator.broker.agent_inbox import AgentInbox
from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.broker.dispatch import Claimed
from orchestrator.broker.keys import execution_queue
from orchestrator.broker.seat import Attempt, Seat
from orchestrator.worker.adoption import Adoption
from orchestrator.worker.answer import Handler
from orchestrator.worker.answer_watch import AnswerWatch
from orchestrator.worker.cancel_watch import CancelWatch
from orchestrator.worker.claims import TURNS, Claims
from orchestrator.worker.deadline import Deadline
from orchestrator.worker.execution import CANCEL_TIMEOUT, Execution
from orchestrator.worker.heartbeat import Heartbeat
from orchestrator.worker.hold import Hold
from orchestrator.worker.liaison import ServiceLiaison
from orchestrator.worker.log import Log, TaskLog, WorkerEvent
from orchestrator.worker.reports import Failure, Reports
from orchestrator.worker.slots import Slots
from orchestrator.worker.task import Assignment, UnreadableTaskError, read_assignment

LEASE: Final = 15.0
UNREADABLE: Final = Failure("WorkerError", "The worker could not read the task.", "unreadable_task")
_LAST_WORDS: Final = 5.0
"""Seconds that stopped tasks get to report and to clean up."""


class Runner:
    """Runs the tasks of `handlers` (by context id), at most `concurrency` at a time.

    Who does not hear of it for `lease` seconds takes it for dead, and gives its tasks to others.
    Every task gets `resources`; chunks within `chunk_interval` seconds are reported together.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        queues: AgentQueues,
        concurrency: int,
        log: Log,
        *,
        lease: float = LEASE,
        cancel_timeout: float = CANCEL_TIMEOUT,
        resources: Any = None,
        chunk_interval: float = 0.0,
    ) -> None:
        contexts = tuple(handlers)
        self._handlers = handlers
        self._queues = queues
        self._lease = lease
        self._cancel_timeout = cancel_timeout
        self._seat = Seat(queues, contexts, concurrency, lease)
        self._slots = Slots(concurrency)
        self._claims = Claims(self._seat, self._slots, self._accept)
        self._adoption = Adoption(queues, self._seat, contexts, refuse=self._refuse, found=self._claims.look)
        self._watch = CancelWatch(queues)
        self._inbox = AgentInbox(queues.scripts, queues.outages)
        self._answers = AnswerWatch(self._inbox)
        self._resources = resources
        self._chunk_interval = chunk_interval
        self._holds: dict[asyncio.Task[None], Hold] = {}
        self._farewells: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._log = log.bind(worker=self._seat.worker)

    def stop(self) -> None:
        """Lets `run` come to its end."""
        self._stop.set()

    async def run(self, stop_timeout: float) -> None:
        """Works until `stop`, then lets what runs end by itself for `stop_timeout` seconds, and hands over the rest."""
        jobs = (
            *(self._claims.run() for _ in range(TURNS)),
            self._adoption.run(self._slots, self._lease / 3),
            self._listen(),
            Heartbeat(self._keep_leases, self._lease).run(),
            self._watch.run(),
        )
        helpers = [asyncio.create_task(job) for job in (*jobs, self._stop.wait())]
        try:
            await asyncio.wait(helpers, return_when=asyncio.FIRST_COMPLETED)
            self._claims.stop()
            await self._let_end(stop_timeout)
        finally:
            # Whoever cancels `run` does not want to wait: what runs is handed over now.
            self._claims.stop()
            await self._hand_over_rest()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._claims.left(), _LAST_WORDS)
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)
            await self._claims.last_turn()
        for helper in helpers:
            if not helper.cancelled():
                helper.result()

    @asynccontextmanager
    async def standing_aside(self, attempt: Attempt) -> AsyncGenerator[None]:
        """While the block runs, this task of the worker takes no slot and no place of its tenant."""
        hold = next(hold for hold in self._holds.values() if hold.attempt == attempt)
        async with hold.standing_aside(self._seat):
            # A worker that stops does not wait for people; another one will ask again.
            if self._stop.is_set():
                self._hand_over([hold])
            self._claims.freed()
            yield

    async def _listen(self) -> None:
        while True:
            news = await self._seat.news()
            if news.look:
                self._claims.look()
            for hold in self._having(news.gone):
                hold.cancel("cancelled")

    async def _keep_leases(self) -> bool:
        lost = await self._seat.beat([hold.claimed for hold in self._holds.values()])
        if lost is None:
            return False
        for one in lost:
            for hold in self._having((one.task, one.attempt)):
                self._say(hold.lose())
        # A dispatch that had forgotten this worker does not know either that it has slots.
        self._claims.freed()
        return True

    def _having(self, attempt: Attempt | None) -> list[Hold]:
        return [hold for hold in self._holds.values() if hold.attempt == attempt]

    async def _let_end(self, stop_timeout: float) -> None:
        if self._holds:
            self._log.info(WorkerEvent.WORKER_STOPPING, tasks=len(self._holds), seconds=stop_timeout)
            self._hand_over(hold for hold in self._holds.values() if hold.stands_aside)
            await asyncio.wait(self._holds, timeout=stop_timeout)

    async def _hand_over_rest(self) -> None:
        left = dict(self._holds)
        if left:
            self._log.warning(WorkerEvent.WORKER_ABANDONED, tasks=len(left))
            self._hand_over(left.values())
        last = [*self._farewells, *left]
        if last:
            await asyncio.wait(last, timeout=_LAST_WORDS)
        for late in last:
            late.cancel()

    def _hand_over(self, holds: Iterable[Hold]) -> None:
        for hold in holds:
            self._say(hold.hand_over())

    def _say(self, last_words: Coroutine[Any, Any, None]) -> None:
        farewell = asyncio.create_task(last_words)
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    def _accept(self, claimed: Claimed) -> None:
        """Begins an attempt in the slot that was taken for it."""
        hold = Hold(claimed, self._slots)
        work = asyncio.create_task(self._perform(hold))
        self._holds[work] = hold
        work.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Task[None]) -> None:
        hold = self._holds.pop(work)
        hold.leave_slot()
        if work.cancelled() or not hold.certain:
            # Somebody else has to look after it once the lease is over.
            self._claims.freed()
            return
        self._claims.ended(hold.attempt, ran=hold.execution is not None)
        if error := work.exception():
            self._log.error(WorkerEvent.UNEXPECTED_ERROR, exc_info=error)

    async def _perform(self, hold: Hold) -> None:
        claimed = hold.claimed
        queue = execution_queue(claimed.context, claimed.tier)
        taken = await self._queues.take(queue, claimed.task, claimed.attempt)
        hold.certain = taken.certain
        if taken.payload is None:
            return
        try:
            assignment = read_assignment(taken.payload)
        except UnreadableTaskError as error:
            await self._refuse(error, claimed.context)
            return
        await self._watched(hold, self._execution(self._handlers[claimed.context], assignment), assignment)

    async def _watched(self, hold: Hold, execution: Execution, assignment: Assignment) -> None:
        cancel_key = assignment.envelope.cancel_key
        if cancel_key and await self._watch.is_cancelled(cancel_key):
            execution.cancel("cancelled")
        with self._watch.watching(cancel_key, lambda: execution.cancel("cancelled")):
            await hold.run(execution)

    async def _refuse(self, error: UnreadableTaskError, context_id: str) -> None:
        address = error.address
        task_id = address.task_id if address else None
        self._log.error(
            WorkerEvent.TASK_UNREADABLE, reason=error.reason, context_id=context_id, task_id=task_id
        )
        if address:
            send = partial(self._queues.report, address.callback_queue)
            await Reports(address.task_id, msgspec.UNSET, send).failed(UNREADABLE)

    def _execution(self, handler: Handler, assignment: Assignment) -> Execution:
        data = assignment.data
        log = TaskLog(self._log, data)
        send = partial(self._queues.report, assignment.envelope.callback_queue)
        reports = Reports(data.task_id, data.attempt, send, self._chunk_interval)
        deadline = Deadline(data.deadline)
        liaison = ServiceLiaison(
            assignment.address,
            reports,
            inbox=self._inbox,
            answers=self._answers,
            deadline=deadline,
            stand_aside=partial(self.standing_aside, (data.task_id, data.attempt)),
            log=log,
        )
        task = assignment.task(self._resources, liaison)
        return Execution(handler, task, reports, log, deadline=deadline, cancel_timeout=self._cancel_timeout)
