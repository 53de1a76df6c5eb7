"""A connection's rest between two requests: one timer, however often it is broken."""

import asyncio

from orchestrator.api.idle_timer import IdleTimer

SECONDS = 0.1


async def test_a_rest_that_was_broken_begins_anew() -> None:
    """The time counts from the last rest, though the timer was made for the first."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    idle = IdleTimer(loop, SECONDS)
    idle.rest(over.set)
    await asyncio.sleep(SECONDS / 2)
    idle.stir()
    began = loop.time()
    idle.rest(over.set)
    await over.wait()
    assert loop.time() - began >= SECONDS * 0.9


async def test_who_works_is_left_alone() -> None:
    """What was stirred does not end when the timer goes off, and rests again afterwards."""
    loop, over, ticked = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    idle = IdleTimer(loop, SECONDS)
    idle.rest(over.set)
    idle.stir()
    loop.call_later(SECONDS * 1.5, ticked.set)
    await ticked.wait()
    assert not over.is_set()
    idle.rest(over.set)
    await over.wait()


async def test_what_was_stopped_is_not_told() -> None:
    """A connection that is gone is not called, nor kept by a timer."""
    loop, over, ticked = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    idle = IdleTimer(loop, SECONDS)
    idle.rest(over.set)
    idle.stop()
    loop.call_later(SECONDS * 1.5, ticked.set)
    await ticked.wait()
    assert not over.is_set()
