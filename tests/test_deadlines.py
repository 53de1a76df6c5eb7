"""Time limits that share a timer end what `asyncio.timeout` would end, and nothing else."""

import asyncio

import pytest

from orchestrator.deadlines import Deadlines

LONG = 60.0


@pytest.fixture
async def deadlines() -> Deadlines:
    """Those of one event loop."""
    return Deadlines()


async def test_a_block_that_lasts_is_ended(deadlines: Deadlines) -> None:
    """With `TimeoutError`, after its time."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError), deadlines.within(0.1):
        await asyncio.sleep(LONG)
    assert asyncio.get_running_loop().time() - began >= 0.09


async def test_each_has_its_own_time(deadlines: Deadlines) -> None:
    """A short one that begins later ends first; those that began together all end."""
    ended: list[str] = []

    async def last(name: str, seconds: float) -> None:
        with pytest.raises(TimeoutError), deadlines.within(seconds):
            await asyncio.sleep(LONG)
        ended.append(name)

    await asyncio.gather(last("long", 0.4), last("short", 0.1), last("middle", 0.2), last("middle", 0.2))
    assert ended == ["short", "middle", "middle", "long"]


async def test_a_block_in_time_is_left_alone(deadlines: Deadlines) -> None:
    """Its task goes on beyond the limit."""
    with deadlines.within(0.05):
        pass
    with pytest.raises(TimeoutError), deadlines.within(0.1):
        await asyncio.sleep(LONG)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_stays_one(deadlines: Deadlines) -> None:
    """Who is cancelled by somebody else hears of that, not of a limit."""
    begun = asyncio.Event()

    async def last() -> None:
        with deadlines.within(LONG):
            begun.set()
            await asyncio.sleep(LONG)

    task = asyncio.create_task(last())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_a_cancellation(deadlines: Deadlines) -> None:
    """Where the limit and somebody else end it in the same turn, the other counts."""

    async def last() -> None:
        with deadlines.within(0.05):
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(last())


async def test_an_error_of_its_own_is_raised(deadlines: Deadlines) -> None:
    """What the block raises is not hidden by a limit that has passed."""

    async def fails_when_ended() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    with pytest.raises(ZeroDivisionError), deadlines.within(0.05):
        await fails_when_ended()


async def test_it_needs_a_task(deadlines: Deadlines) -> None:
    """Outside of a task nothing could be ended."""
    found: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def outside() -> None:
        try:
            with deadlines.within(1):
                pass
        except RuntimeError as error:
            found.set_result(error)

    asyncio.get_running_loop().call_soon(outside)
    assert "task" in str(await found)
