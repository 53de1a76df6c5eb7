"""Two turns at a time: the one neither waits for the other nor gives away what the other has slots for."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from tests.servers import wait_until

from orchestrator.broker.dispatch import Claimed
from orchestrator.broker.seat import Attempt, Over, Seat, Turn
from orchestrator.worker.claims import TURNS, Claims
from orchestrator.worker.slots import Slots


class SlowSeat:
    """A dispatch that answers a turn when it is told to."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self.over: list[list[Attempt]] = []
        self.left_after: int | None = None
        self._answers: list[asyncio.Future[Turn]] = []

    async def turn(self, over: Over, slots: int | None) -> Turn:
        """Waits for `answer`."""
        self.asked.append(slots)
        self.over.append(list(over.ran))
        self._answers.append(asyncio.get_running_loop().create_future())
        return await self._answers[-1]

    async def leave(self) -> None:
        """Notes how many turns had been answered by then."""
        self.left_after = sum(answer.done() for answer in self._answers)

    def answer(self, turn: int, *tasks: str) -> None:
        """Ends the turn of this number, with these tasks for the worker."""
        claimed = [Claimed(task, 1, "agent-123", "free", "home") for task in tasks]
        self._answers[turn].set_result(Turn(claimed, told=True))


class Bench:
    """Claims with two slots, and what became of them."""

    def __init__(self) -> None:
        self.seat = SlowSeat()
        self.slots = Slots(2)
        self.begun: list[str] = []
        self.claims = Claims(cast("Seat", self.seat), self.slots, lambda one: self.begun.append(one.task))

    async def asked(self, turns: int) -> None:
        """Returns once so many turns have begun."""
        await wait_until(lambda: len(self.seat.asked) == turns)

    def end(self, task: str) -> None:
        """The worker is through with it."""
        self.slots.release()
        self.claims.ended((task, 1), ran=True)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Claims whose first turn is under way, with both slots."""
    bench = Bench()
    runs = [asyncio.create_task(bench.claims.run()) for _ in range(TURNS)]
    await bench.asked(1)
    yield bench
    for run in runs:
        run.cancel()
    await asyncio.wait(runs)


async def test_a_slot_is_used_while_a_turn_is_under_way(bench: Bench) -> None:
    """What ended is told, and its slot asked for, before the turn before is answered."""
    bench.seat.answer(0, "task-1", "task-2")
    await wait_until(lambda: len(bench.begun) == 2)
    bench.end("task-1")
    await bench.asked(2)
    bench.end("task-2")
    await bench.asked(3)
    bench.seat.answer(2, "task-4")
    await wait_until(lambda: "task-4" in bench.begun)

    assert bench.seat.asked == [2, 1, 1]
    assert bench.seat.over == [[], [("task-1", 1)], [("task-2", 1)]]


async def test_without_a_slot_a_call_to_look_waits_for_the_turn_under_way(bench: Bench) -> None:
    """Its slots may be left over; others are offered the task only where none is."""
    bench.claims.look()
    await bench.asked(2)
    assert bench.seat.asked == [2, None]
    bench.seat.answer(1)
    bench.seat.answer(0, "task-1")
    await bench.asked(3)
    assert bench.seat.asked[2] == 1


async def test_with_no_slot_left_over_others_are_offered_it(bench: Bench) -> None:
    """A turn with no slots, as it is asked for where a worker has none."""
    bench.claims.look()
    await bench.asked(2)
    bench.seat.answer(0, "task-1", "task-2")
    await wait_until(lambda: len(bench.begun) == 2)
    bench.seat.answer(1)
    await bench.asked(3)
    assert bench.seat.asked[2] == 0


async def test_the_worker_leaves_when_no_turn_is_under_way(bench: Bench) -> None:
    """What a later one brought would be nobody's."""
    bench.seat.answer(0, "task-1", "task-2")
    await wait_until(lambda: len(bench.begun) == 2)
    bench.end("task-1")
    await bench.asked(2)
    bench.claims.stop()
    await bench.asked(3)
    bench.seat.answer(2)
    bench.end("task-2")
    await bench.asked(4)
    bench.seat.answer(3)
    assert bench.seat.left_after is None
    bench.seat.answer(1)
    await bench.claims.left()

    assert bench.seat.left_after == 4
