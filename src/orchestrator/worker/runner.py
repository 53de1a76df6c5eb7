"""A worker at work: what it claimed, what runs, how it comes to rest."""

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.worker.answer import Handler
from orchestrator.worker.cancel_watch import CancelWatch
from orchestrator.worker.claims import Claims
from orchestrator.worker.execution import Execution
from orchestrator.worker.log import Log, WorkerEvent
from orchestrator.worker.reports import Failure, Reports
from orchestrator.worker.task import Assignment, UnreadableTaskError, read_assignment

UNREADABLE: Final = Failure("WorkerError", "The worker could not read the task.", "unreadable_task")
_LAST_WORDS: Final = 5.0
"""Seconds that stopped tasks get to report and to clean up."""


class Runner:
    """Runs the tasks of `handlers` (by context id), at most `concurrency` at a time."""

    def __init__(
        self, handlers: Mapping[str, Handler], queues: AgentQueues, concurrency: int, log: Log
    ) -> None:
        self._handlers = handlers
        self._queues = queues
        self._slots = asyncio.Semaphore(concurrency)
        self._watch = CancelWatch(queues)
        self._claims = Claims(queues, tuple(handlers), self._slots, self._accept)
        self._work: dict[asyncio.Task[None], Execution | None] = {}
        self._stop = asyncio.Event()
        self._log = log

    def stop(self) -> None:
        """Lets `run` come to its end."""
        self._stop.set()

    async def run(self, stop_timeout: float) -> None:
        """Works until `stop`, then ends what runs: by itself in `stop_timeout` seconds, or failed."""
        claiming = asyncio.create_task(self._claims.run())
        watching = asyncio.create_task(self._watch.run())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({claiming, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._claims.stop()
            await self._let_end(stop_timeout)
        finally:
            # Whoever cancels `run` does not want to wait: what runs is failed now.
            self._claims.stop()
            await self._abandon()
            # Waits that go on may still bring a task, which is then given back.
            await asyncio.wait({claiming}, timeout=_LAST_WORDS)
            for helper in (stopping, watching, claiming):
                if helper.done():
                    helper.result()
                helper.cancel()

    async def _let_end(self, stop_timeout: float) -> None:
        if self._work:
            self._log.info(WorkerEvent.WORKER_STOPPING, tasks=len(self._work), seconds=stop_timeout)
            await asyncio.wait(self._work, timeout=stop_timeout)

    async def _abandon(self) -> None:
        left = dict(self._work)
        if not left:
            return
        self._log.warning(WorkerEvent.WORKER_ABANDONED, tasks=len(left))
        reports = [asyncio.create_task(execution.abandon()) for execution in left.values() if execution]
        await asyncio.wait([*reports, *left], timeout=_LAST_WORDS)
        for late in (*reports, *left):
            late.cancel()

    def _accept(self, context_id: str, payload: bytes) -> None:
        """Begins a task in the slot that was taken for it."""
        try:
            assignment = read_assignment(payload)
        except UnreadableTaskError as error:
            self._begin(self._refuse(error, context_id))
            return
        execution = self._execution(self._handlers[context_id], assignment)
        self._begin(self._perform(execution, assignment.envelope.cancel_key), execution)

    def _begin(self, work: Coroutine[Any, Any, None], execution: Execution | None = None) -> None:
        task = asyncio.create_task(work)
        self._work[task] = execution
        task.add_done_callback(self._ended)

    def _ended(self, work: asyncio.Task[None]) -> None:
        del self._work[work]
        self._slots.release()
        if not work.cancelled() and (error := work.exception()):
            self._log.error(WorkerEvent.UNEXPECTED_ERROR, exc_info=error)

    async def _perform(self, execution: Execution, cancel_key: str | None) -> None:
        if cancel_key and await self._queues.cancelled([cancel_key]):
            execution.cancel("cancelled")
        with self._watch.watching(cancel_key, lambda: execution.cancel("cancelled")):
            await execution.run()

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
        task = assignment.task
        log = self._log.bind(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            task_id=task.task_id,
            attempt=task.attempt,
            context_id=task.context.context_id,
        )
        send = partial(self._queues.report, assignment.envelope.callback_queue)
        return Execution(handler, task, Reports(task.task_id, task.attempt, send), log)
