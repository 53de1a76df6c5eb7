"""How fast agents begin with the tasks of each queue, and which they have: gathered here, told once a heartbeat."""

from collections.abc import Iterable

from orchestrator.broker.callbacks import Ended, Move
from orchestrator.broker.explanations import Explanations, Turnover

AT_ONCE = 1_000
"""Moves that are told in one call."""


class Pace:
    """What this replica saw. A figure to explain waits by, nothing more: what a fault loses is not told again."""

    def __init__(self, explanations: Explanations) -> None:
        self._explanations = explanations
        self._begun: dict[tuple[str, str], int] = {}
        self._runs: dict[str, Move] = {}
        self._over: dict[str, tuple[str, str]] = {}
        # Ends are told twice: another replica may tell of the beginning when this one has told of the end.
        self._ended: dict[str, tuple[str, str]] = {}
        self._ended_before: dict[str, tuple[str, str]] = {}

    def note_moves(self, moves: Iterable[Move]) -> None:
        """Agents began with tasks, or lost them."""
        for move in moves:
            place = (move.context, move.tier)
            if move.until:
                self._begun[place] = self._begun.get(place, 0) + 1
                self._runs[move.task] = move
                self._over.pop(move.task, None)
            else:
                self._runs.pop(move.task, None)
                self._over[move.task] = place

    def note_ended(self, ended: Iterable[Ended]) -> None:
        """Tasks have ended, whether an agent had them or not."""
        for task in ended:
            self._runs.pop(task.task, None)
            self._ended[task.task] = task.context, task.tier

    async def tell(self) -> None:
        """Hand on what was gathered. Raises `BrokerError`."""
        begun, runs, over = self._begun, self._runs, self._ended_before | self._over | self._ended
        self._begun, self._runs, self._over = {}, {}, {}
        self._ended_before, self._ended = self._ended, {}
        turnover = {place: Turnover(*place, count, [], []) for place, count in begun.items()}
        for move in runs.values():
            turnover[move.context, move.tier].runs.append((move.task, move.until))
        for task, place in over.items():
            told = turnover.get(place)
            if told is None:
                told = turnover[place] = Turnover(*place, 0, [], [])
            told.over.append(task)
        entries = list(turnover.values())
        for some in _batches(entries):
            await self._explanations.note(some)


def _batches(entries: list[Turnover]) -> Iterable[list[Turnover]]:
    batch: list[Turnover] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += 1 + len(entry.runs) + len(entry.over)
        if size >= AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
