"""A worker that stops keeps its word to the tasks it has (contract §9)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from tests.servers import wait_until
from tests.worker.service import CALLBACKS, Service, running

from orchestrator.broker.dispatch import Claimed
from orchestrator.broker.seat import Over, Seat, Turn
from orchestrator.worker import AgentWorker, Task
from orchestrator.worker.claims import Claims
from orchestrator.worker.slots import Slots


async def test_stop_takes_nothing_new_and_finishes_what_runs(service: Service, worker: AgentWorker) -> None:
    """What runs is answered, what waits stays in the queue for another worker."""
    gate = asyncio.Event()

    @worker.agent("agent-123")
    async def _(_: Task) -> AsyncGenerator[str, None]:
        yield "half "
        await gate.wait()
        yield "whole"

    async with running(worker):
        await service.send()
        await service.callback()
        stop = asyncio.create_task(worker.stop())
        await wait_until(lambda: _has_left(service))
        assert not stop.done()
        await service.send()
        gate.set()
        await stop

    assert (await service.ending())["result"]["response"] == "half whole"
    assert await service.waiting() == 1


class SlowSeat:
    """Dispatch, to a worker that is asked to stop while a claim is on its way."""

    def __init__(self) -> None:
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.turns: list[tuple[Over, int | None]] = []

    async def turn(self, over: Over, slots: int | None) -> Turn:
        """Gives a task once it may."""
        self.turns.append((over, slots))
        self.asked.set()
        await self.answer.wait()
        return Turn([Claimed("task-1", 1, "agent-123", "free", CALLBACKS)] if slots else [], told=True)

    async def leave(self) -> None:
        """Nothing to do."""


async def test_what_is_claimed_too_late_is_not_begun() -> None:
    """A task whose claim was under way when the stop began is left to others, and dispatch hears of it."""
    seat, slots, begun = SlowSeat(), Slots(2), list[Claimed]()
    claims = Claims(cast("Seat", seat), slots, begun.append)
    run = asyncio.create_task(claims.run())
    await seat.asked.wait()
    claims.stop()
    seat.answer.set()
    await wait_until(lambda: len(seat.turns) == 2)
    run.cancel()

    assert seat.turns[1] == (Over([], [("task-1", 1)]), None)
    assert begun == []


async def test_stop_hands_over_what_takes_too_long(service: Service, worker: AgentWorker) -> None:
    """After `stop_timeout` the handlers are cancelled, and another attempt is asked for."""
    seen: list[str] = []

    @worker.agent("agent-123")
    async def _(_: Task) -> AsyncGenerator[str, None]:
        try:
            yield "half "
            await asyncio.Event().wait()
        finally:
            seen.append("finally")

    worker.stop_timeout = 0.2
    async with running(worker):
        await service.send()
        await wait_until(lambda: _has_callbacks(service, 2))
        await worker.stop()

    ending = await service.ending()
    assert (ending["status"], ending["result"]["error"]["code"]) == ("failed", "worker_stopped")
    assert ending["retry"] is True
    assert seen == ["finally"]
    assert await service.silent()


async def test_cancelling_run_does_not_wait(service: Service, worker: AgentWorker) -> None:
    """A caller that cancels `run` gets it back at once, and the task is failed all the same."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        await asyncio.Event().wait()
        return "never"

    run = asyncio.create_task(worker.run())
    await service.send()
    await service.callback()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert (await service.ending())["result"]["error"]["code"] == "worker_stopped"


async def test_a_stopped_worker_can_run_again(service: Service, worker: AgentWorker) -> None:
    """`stop` without `run` does nothing, and `run` may follow a `stop`; but not twice at a time."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "here"

    await worker.stop()
    for _again in range(2):
        async with running(worker):
            await service.send()
            assert (await service.ending())["result"]["response"] == "here"
            with pytest.raises(RuntimeError, match="runs already"):
                await worker.run()


async def _has_left(service: Service) -> bool:
    return not await service.redis.exists("{dispatch}:workers")


async def _has_callbacks(service: Service, number: int) -> bool:
    return await service.redis.llen("orchestrator:tenant-456:callbacks") >= number
