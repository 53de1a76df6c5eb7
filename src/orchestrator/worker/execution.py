"""One attempt at one task: from `running` to its ending."""

import asyncio
from typing import Final

from orchestrator.protocol.tasks import DEFAULT_MESSAGES
from orchestrator.worker.answer import Handler, answer
from orchestrator.worker.deadline import Deadline
from orchestrator.worker.errors import TaskError
from orchestrator.worker.log import Log, WorkerEvent
from orchestrator.worker.reports import Failure, Reports, ResultTooLargeError
from orchestrator.worker.task import Task

UNEXPECTED: Final = Failure("WorkerError", DEFAULT_MESSAGES["agent_failed"], "agent_failed")
STOPPED: Final = Failure(
    "WorkerError", "The worker stopped before the answer was complete.", "worker_stopped"
)
LOST: Final = Failure(
    "WorkerError", "The worker lost the task before the answer was complete.", "worker_lost"
)
CANCEL_TIMEOUT: Final = 10.0


class Execution:
    """Runs the handler, reports what it says and, once, how it ends: whatever the handler gives or raises.

    `cancel` may come at any moment, and nothing is reported after it; nor after the deadline:
    by then the service has ended the task. A handler that does not end within `cancel_timeout`
    seconds of its cancellation is abandoned: it may go on, but nobody waits for it any more.
    """

    def __init__(
        self,
        handler: Handler,
        task: Task,
        reports: Reports,
        log: Log,
        *,
        deadline: Deadline,
        cancel_timeout: float = CANCEL_TIMEOUT,
    ) -> None:
        self._handler = handler
        self._task = task
        self._reports = reports
        self._log = log
        self._deadline = deadline
        self._cancel_timeout = cancel_timeout
        self._agent: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._patience: asyncio.TimerHandle | None = None
        self._why: str | None = None

    @property
    def cancelled(self) -> bool:
        """Whether nothing is expected of it any more."""
        return self._why is not None

    async def run(self) -> None:
        """Returns when the handler has returned or is abandoned."""
        if self._why or self._deadline.left <= 0:
            self._log.warning(WorkerEvent.TASK_SKIPPED, reason=self._why or "deadline")
            return
        # A task of its own, since nobody can be made to wait for one that ignores its cancellation.
        self._agent = asyncio.create_task(self._live())
        self._agent.add_done_callback(self._ended)
        try:
            await self._within_deadline()
        finally:
            self._agent.cancel()

    def cancel(self, why: str) -> bool:
        """Stops the handler, or keeps it from beginning; False where it was or is over without that."""
        if self._why or (self._agent and self._agent.done()):
            return False
        self._why = why
        self._reports.drop()
        if self._agent:
            self._agent.cancel(why)
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(self._cancel_timeout, self._abandon)
        return True

    async def hand_over(self) -> None:
        """Stops the handler since the worker stops, and asks for another attempt."""
        if self.cancel(STOPPED.code):
            await self._reports.failed(STOPPED, retry=True)

    async def lose(self) -> None:
        """Stops the handler since another worker has the task, and asks for another attempt if none has.

        The report bears this attempt: where the next one has begun, or the task has ended, it is dropped.
        """
        if self.cancel("lost"):
            await self._reports.failed(LOST, retry=True)

    async def _within_deadline(self) -> None:
        try:
            async with self._deadline.kept():
                await self._over.wait()
        except TimeoutError:
            self.cancel("deadline")
            await self._over.wait()

    def _ended(self, agent: asyncio.Task[None]) -> None:
        self._over.set()
        if self._patience:
            self._patience.cancel()
        if agent.cancelled():
            self._log.info(WorkerEvent.AGENT_STOPPED, reason=self._why)
        elif error := agent.exception():
            self._log.error(WorkerEvent.UNEXPECTED_ERROR, exc_info=error)

    def _abandon(self) -> None:
        self._log.error(WorkerEvent.AGENT_ABANDONED, reason=self._why, seconds=self._cancel_timeout)
        self._over.set()

    async def _live(self) -> None:
        self._log.info(WorkerEvent.AGENT_STARTED)
        await self._reports.running()
        try:
            failure = await self._answered()
        except (KeyboardInterrupt, GeneratorExit):
            # The whole process ends, or the event loop is gone.
            raise
        # A handler that calls sys.exit() fails its own task, not the tasks of others.
        except BaseException as error:  # noqa: BLE001 - it is foreign code
            failure = await self._failed(error)
        if failure:
            self._log.warning(WorkerEvent.AGENT_ENDED, status="failed", code=failure.code)
        else:
            self._log.info(WorkerEvent.AGENT_ENDED, status="completed")

    async def _answered(self) -> Failure | None:
        given = await answer(self._handler, self._task, self._emit)
        self._stay()
        if given is None:
            given = self._reports.text
        return await self._reports.completed({"response": given} if isinstance(given, str) else given)

    async def _failed(self, error: BaseException) -> Failure:
        """Reports the failure, also where the error cannot say what it is."""
        try:
            failure = self._explained(error)
            self._stay()
            await self._reports.failed(failure, retry=isinstance(error, TaskError) and error.retry)
        except Exception:  # noqa: BLE001 - a class of the agent's own may do anything
            self._stay()
            failure = UNEXPECTED
            await self._reports.failed(failure)
            self._log.error(WorkerEvent.AGENT_FAILED, exc_info=error)
        return failure

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
        return self._agent is not None and self._agent.cancelling() > 0
