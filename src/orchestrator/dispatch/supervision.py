"""Looks after attempts whose worker is gone: the next one begins, or the task ends where there were enough."""

from collections.abc import Awaitable, Callable, Sequence

from orchestrator.broker.callbacks import Ended, Move
from orchestrator.broker.tasks import Tasks
from orchestrator.dispatch.dispatcher import StillOver
from orchestrator.dispatch.due_pushes import DuePushes
from orchestrator.metrics import Counter, Metrics
from orchestrator.telemetry import Log, LogEvent


class Supervision:
    """Begins next attempts. `pump` takes the callbacks that wait for a tenant."""

    def __init__(
        self,
        *,
        tasks: Tasks,
        due_pushes: DuePushes,
        pump: Callable[[str], Awaitable[None]],
        note_ended: Callable[[str, Sequence[Ended]], None],
        note_moves: Callable[[Sequence[Move]], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._tasks = tasks
        self._due_pushes = due_pushes
        self._pump = pump
        self._note_ended = note_ended
        self._note_moves = note_moves
        self._metrics = metrics
        self._log = log

    async def lapsed(
        self, tenant: str, task: str, attempt: int, worker: str, still_over: StillOver | None = None
    ) -> bool:
        """The lease of an attempt is over; False where it is no more, and its worker goes on.

        Idempotent; raises `BrokerError` where Redis cannot be asked.
        """
        # Callbacks first: an ending that the worker could still push counts. That takes a while, in which it may renew.
        await self._pump(tenant)
        if still_over and not await still_over():
            return False
        retried = await self._tasks.retry(tenant, task, attempt)
        self._note_ended(tenant, retried.ended)
        self._note_moves(retried.moves)
        if retried.outcome == "retried":
            self._metrics.count(Counter.TASKS_RETRIED, "worker_lost")
            self._log.warning(
                LogEvent.LEASE_LOST, tenant_id=tenant, task_id=task, attempt=attempt, worker=worker
            )
            await self._due_pushes.attend(tenant, retried.due)
        return True
