"""The slots of a worker: never more tasks than there are, and who comes back goes first."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.worker.slots import Slots


def test_a_claim_takes_all() -> None:
    """What a claim may bring is reserved before it; what it did not bring is given back."""
    slots = Slots(3)

    assert slots.reserve() == 3
    assert slots.reserve() == 0
    slots.release(2)
    assert slots.free == 2


def test_a_closed_worker_has_no_room() -> None:
    """One that stops has no slot for new tasks, whatever ends."""
    slots = Slots(3)
    slots.close()
    slots.release()

    assert (slots.free, slots.reserve()) == (0, 0)


async def test_who_comes_back_goes_first() -> None:
    """A freed slot goes to the task that has waited longest for its own, and only then to new ones."""
    slots = Slots(1)
    slots.reserve()
    back: list[str] = []

    async def come_back(name: str) -> None:
        await slots.take_again()
        back.append(name)

    returning = [asyncio.create_task(come_back(name)) for name in "ab"]
    await asyncio.sleep(0)
    slots.release()
    assert slots.free == 0
    slots.release()
    await asyncio.gather(*returning)
    assert back == ["a", "b"]
    slots.release()
    assert slots.free == 1


@given(st.lists(st.booleans(), max_size=8), st.integers(0, 8))
def test_no_slot_is_lost(cancelled: list[bool], released: int) -> None:
    """Whoever of those that wait is cancelled, before or after its turn came: no slot is lost or doubled."""

    async def play() -> None:
        slots = Slots(8)
        slots.reserve()
        waiting = [asyncio.create_task(slots.take_again()) for _ in cancelled]
        await asyncio.sleep(0)
        slots.release(released)
        for task, is_cancelled in zip(waiting, cancelled, strict=True):
            if is_cancelled:
                task.cancel()
        await asyncio.wait(waiting, timeout=0) if waiting else None
        held = sum(task.done() and not task.cancelled() for task in waiting)
        assert slots.free + held == released
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(play())
