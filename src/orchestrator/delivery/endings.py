"""Notes endings, whoever brought them about: an agent, a deadline, or somebody who cancelled."""

from collections.abc import Sequence

from orchestrator.broker.callbacks import Ended, Move
from orchestrator.dispatch.pace import Pace
from orchestrator.dispatch.turn_taking import TurnTaking
from orchestrator.metrics import Counter, Histogram, Metrics
from orchestrator.telemetry import Log, LogEvent


class Endings:
    """Counts and logs what ended, and lets go what waited for it."""

    def __init__(self, metrics: Metrics, log: Log, turns: TurnTaking, pace: Pace | None = None) -> None:
        self._metrics = metrics
        self._log = log
        self._turns = turns
        self._pace = pace

    def note(self, tenant: str, ended: Sequence[Ended]) -> None:
        """These tasks have just ended."""
        if self._pace:
            self._pace.note_ended(ended)
        for task in ended:
            self._metrics.count(Counter.TASKS_ENDED, task.status)
            self._metrics.observe(Histogram.ANSWER, task.answer_micros / 1e6)
            self._log.info(
                LogEvent.TASK_ENDED,
                tenant_id=tenant,
                session_id=task.session,
                task_id=task.task,
                status=task.status,
                seconds=round(task.answer_micros / 1e6, 3),
            )
            if task.holds:
                self._turns.soon(tenant, task.session)

    def note_moves(self, moves: Sequence[Move]) -> None:
        """Agents began with tasks, or lost them."""
        if self._pace:
            self._pace.note_moves(moves)

    def note_holding(self, tenant: str, sessions: Sequence[str]) -> None:
        """Held messages of these sessions may have their turn."""
        for session in sessions:
            self._turns.soon(tenant, session)

    async def settled(self) -> None:
        """Return when what waited for the endings noted here was let go."""
        await self._turns.settled()
