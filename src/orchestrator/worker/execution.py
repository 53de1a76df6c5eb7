"""One attempt at one task: from `running` to its ending."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from orchestrator.protocol.tasks import DEFAULT_MESSAGES
from orchestrator.worker.answer import Handler, answer
from orchestrator.worker.errors import TaskError
from orchestrator.worker.log import Log, WorkerEvent
from orchestrator.worker.reports import Failure, Reports, ResultTooLargeError
from orchestrator.worker.task import Task

UNEXPECTED = Failure("WorkerError", DEFAULT_MESSAGES["agent_failed"], "agent_failed")
STOPPED = Failure("WorkerError", "The worker stopped before the answer was complete.", "worker_stopped")


class Execution:
    """Runs the handler, reports what it says and how it ends.

    `cancel` may come at any moment, and nothing is reported after it; nor after the deadline:
    by then the service has ended the task.
    """

    def __init__(self, handler: Handler, task: Task, reports: Reports, log: Log) -> None:
        self._handler = handler
        self._task = task
        self._reports = reports
        self._log = log
        self._runner: asyncio.Task[Any] | None = None
        self._why: str | None = None

    async def run(self) -> None:
        """Returns when the handler has returned; never raises."""
        seconds = (self._task.deadline - datetime.now(UTC)).total_seconds()
        if self._why or seconds <= 0:
            self._log.warning(WorkerEvent.TASK_SKIPPED, reason=self._why or "deadline")
            return
        self._runner = asyncio.current_task()
        try:
            async with asyncio.timeout(seconds):
                await self._live()
        except TimeoutError:
            self._log.warning(WorkerEvent.AGENT_STOPPED, reason="deadline")
        except asyncio.CancelledError:
            self._log.info(WorkerEvent.AGENT_STOPPED, reason=self._why)

    def cancel(self, why: str) -> bool:
        """Stops the handler, or keeps it from beginning; False where that was done before."""
        if self._why:
            return False
        self._why = why
        if self._runner:
            self._runner.cancel(why)
        return True

    async def abandon(self) -> None:
        """Stops the handler and fails the task, since the worker stops."""
        if self.cancel("worker_stopped"):
            await self._reports.failed(STOPPED)

    async def _live(self) -> None:
        self._log.info(WorkerEvent.AGENT_STARTED)
        await self._reports.running()
        try:
            failure = await self._answered()
        # A handler that calls sys.exit() fails its own task, not the tasks of others.
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - it is foreign code
            failure = self._explained(error)
            self._stay()
            await self._reports.failed(failure)
        if failure:
            self._log.warning(WorkerEvent.TASK_ENDED, status="failed", code=failure.code)
        else:
            self._log.info(WorkerEvent.TASK_ENDED, status="completed")

    async def _answered(self) -> Failure | None:
        given = await answer(self._handler, self._task, self._emit)
        self._stay()
        if given is None:
            given = self._reports.text
        return await self._reports.completed({"response": given} if isinstance(given, str) else given)

    async def _emit(self, delta: str) -> None:
        self._stay()
        await self._reports.chunk(delta)

    def _stay(self) -> None:
        """Ends here where the handler kept the cancellation to itself."""
        if self._cancelling():
            raise asyncio.CancelledError

    def _explained(self, error: BaseException) -> Failure:
        if isinstance(error, TaskError):
            return Failure("TaskError", error.message, error.code)
        if isinstance(error, ResultTooLargeError):
            return error.failure
        if not (isinstance(error, asyncio.CancelledError) and self._cancelling()):
            self._log.error(WorkerEvent.AGENT_FAILED, exc_info=error)
        return UNEXPECTED

    def _cancelling(self) -> bool:
        return self._runner is not None and self._runner.cancelling() > 0
