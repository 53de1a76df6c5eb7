"""Together: calls that many share, one of a key at a time, and where they fill one another beside it."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.servers import wait_until

from orchestrator.broker.connection import Refused, ReplyLost
from orchestrator.broker.together import Together


class Calls:
    """Answers each item with its double, when it is let; items of `faults` bring their call down."""

    def __init__(self, **bounds: int) -> None:
        self.made: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.faults: dict[int, Exception] = {}
        bounds = {"most": 10, "bytes_most": 1000, **bounds}
        self.together = Together(self._call, size_of=lambda item: item, **bounds)

    async def _call(self, _key: str, items: Sequence[int]) -> list[int]:
        self.made.append(list(items))
        await self.gate.wait()
        for item in items:
            if item in self.faults:
                raise self.faults[item]
        return [2 * item for item in items]

    def add(self, *items: int) -> list[asyncio.Future[int]]:
        """Ask for these."""
        return [self.together.add("key", item) for item in items]

    async def begin(self) -> asyncio.Future[int]:
        """Have a call under way."""
        self.gate.clear()
        (first,) = self.add(1)
        await wait_until(lambda: bool(self.made))
        return first


async def test_of_one_tick() -> None:
    """What is asked in one tick shares a call; each gets its own answer."""
    calls = Calls()
    assert await asyncio.gather(*calls.add(1, 2, 3)) == [2, 4, 6]
    assert calls.made == [[1, 2, 3]]


async def test_while_a_call_is_under_way() -> None:
    """What comes meanwhile shares the next call, in its order; another key does not wait."""
    calls = Calls()
    first = await calls.begin()
    rest, other = calls.add(2, 3), calls.together.add("other", 4)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls.made == [[1], [4]]

    calls.gate.set()
    assert await asyncio.gather(first, *rest, other) == [2, 4, 6, 8]
    assert calls.made == [[1], [4], [2, 3]]


async def test_refused() -> None:
    """Where Redis refuses a call that many share, only whoever is at fault is told so."""
    calls = Calls()
    calls.faults[2] = Refused("WRONGTYPE")
    answers = await asyncio.gather(*calls.add(1, 2, 3), return_exceptions=True)
    assert answers == [2, calls.faults[2], 6]
    assert calls.made == [[1, 2, 3], [1], [2], [3]]


@pytest.mark.parametrize("error", [ReplyLost("gone"), Refused("ACL failure in script"), ValueError("a bug")])
async def test_what_may_have_been_done(error: Exception) -> None:
    """A call that may have been carried out is not made again: all who shared it are told."""
    calls = Calls()
    calls.faults[2] = error
    answers = await asyncio.gather(*calls.add(1, 2), return_exceptions=True)
    assert answers == [error, error]
    assert calls.made == [[1, 2]]
    assert await calls.add(3)[0] == 6


async def test_bounds() -> None:
    """So many at most share a call, and so much; one that is larger goes alone."""
    calls = Calls(most=3, bytes_most=100)
    await asyncio.gather(*calls.add(1, 2, 3, 4, 99, 500, 5))
    assert calls.made == [[1, 2, 3], [4], [99], [500], [5]]


async def test_cancelled_in_time() -> None:
    """Who does not wait any more before the call is made is left out of it."""
    calls = Calls()
    first = await calls.begin()
    gone, stays = calls.add(2, 3)
    gone.cancel()
    calls.gate.set()
    assert await asyncio.gather(first, stays) == [2, 6]
    assert calls.made == [[1], [3]]


async def test_a_full_call_goes_beside_another() -> None:
    """Those who fill a call do not wait for the one under way; two are the most at once, and what is left follows."""
    calls = Calls(most=3)
    first = await calls.begin()
    rest = calls.add(2, 3)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls.made == [[1]]
    rest += calls.add(*range(4, 12))
    await wait_until(lambda: len(calls.made) == 2)
    await asyncio.sleep(0)
    assert calls.made == [[1], [2, 3, 4]]

    calls.gate.set()
    assert await asyncio.gather(first, *rest) == [2 * item for item in range(1, 12)]
    assert sorted(item for made in calls.made for item in made) == list(range(1, 12))


async def test_two_calls_set_out_apart() -> None:
    """Two that come back together do not set out together: Redis would stand still while both are handled."""
    calls, turn, turns = Calls(most=2), 0, list[int]()

    def count() -> None:
        nonlocal turn
        turn += 1
        turns.extend([turn] * (len(calls.made) - len(turns)))
        asyncio.get_running_loop().call_soon(count)

    first = await calls.begin()
    rest = calls.add(*range(2, 10))
    await wait_until(lambda: len(calls.made) == 2)
    count()
    calls.gate.set()
    calls.gate.clear()  # these two come back in one turn, the next ones are held
    await wait_until(lambda: len(calls.made) == 4)
    await asyncio.sleep(0)
    assert turns[3] == turns[2] + 1
    calls.gate.set()
    assert await asyncio.gather(first, *rest) == [2 * item for item in range(1, 10)]


async def test_settled() -> None:
    """It is settled when all have their answers."""
    calls = Calls()
    answers = calls.add(1, 2)
    await calls.together.settled()
    assert [answer.result() for answer in answers] == [2, 4]
