"""What all tasks of a worker share: opened before the first, closed after the last (docs/agents.md)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.worker.service import Service, running

from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker, Task


class Pool:
    """Something that is open for a while."""

    def __init__(self) -> None:
        self.is_open = True


async def test_it_is_open_for_every_task_and_closed_after_the_last(
    service: Service, worker: AgentWorker
) -> None:
    """One opening per run; a task that is still running when the worker stops has it until its end."""
    pools: list[Pool] = []
    gate = asyncio.Event()

    @worker.lifespan
    async def resources() -> AsyncGenerator[Pool, None]:
        pools.append(Pool())
        yield pools[-1]
        pools[-1].is_open = False

    @worker.agent("agent-123")
    async def _(task: Task[Pool]) -> str:
        if task.message == "slow":
            await gate.wait()
        return str(task.resources.is_open)

    async with running(worker):
        await service.send("quick")
        assert (await service.ending())["result"]["response"] == "True"
        await service.send("slow")
        assert (await service.callback())["status"] == "running"
        stop = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        gate.set()
        await stop

    assert (await service.ending())["result"]["response"] == "True"
    assert [pool.is_open for pool in pools] == [False]
    async with running(worker):
        await service.send("quick")
        await service.ending()
    assert [pool.is_open for pool in pools] == [False, False]


async def test_a_context_manager_does(service: Service, valkey: ValkeyServer) -> None:
    """`AgentWorker(lifespan=…)` takes whatever gives an asynchronous context manager."""

    @asynccontextmanager
    async def resources() -> AsyncGenerator[str]:
        yield "shared"

    worker = AgentWorker(redis_url=valkey.url, lifespan=resources)

    @worker.agent("agent-123")
    async def _(task: Task[str]) -> str:
        return task.resources

    async with running(worker):
        await service.send()
        assert (await service.ending())["result"]["response"] == "shared"


async def test_without_one_there_is_nothing(service: Service, worker: AgentWorker) -> None:
    """`task.resources` is None."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return repr(task.resources)

    async with running(worker):
        await service.send()
        assert (await service.ending())["result"]["response"] == "None"


async def test_what_cannot_be_opened_ends_the_run(service: Service, worker: AgentWorker) -> None:
    """No task is taken by a worker without its resources; the next run tries again."""
    worker.agent("agent-123")(_answer)
    faults: list[Exception] = [LookupError("no database")]

    @worker.lifespan
    async def resources() -> AsyncGenerator[None, None]:
        if faults:
            raise faults.pop()
        yield

    await service.send()
    with pytest.raises(LookupError, match="no database"):
        await worker.run()
    assert await service.waiting() == 1

    async with running(worker):
        assert (await service.ending())["status"] == "completed"


async def test_a_worker_is_stopped_while_it_opens(service: Service, worker: AgentWorker) -> None:
    """`stop` waits until what was opened is closed again, and no task is taken."""
    worker.agent("agent-123")(_answer)
    opening, gate = asyncio.Event(), asyncio.Event()
    closed: list[bool] = []

    @worker.lifespan
    async def resources() -> AsyncGenerator[None, None]:
        opening.set()
        await gate.wait()
        yield
        closed.append(True)

    await service.send()
    run = asyncio.create_task(worker.run())
    await opening.wait()
    stop = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    assert not stop.done()
    gate.set()
    await asyncio.gather(run, stop)

    assert closed == [True]
    assert await service.waiting() == 1


def test_it_is_declared_once() -> None:
    """A second one would never be opened."""
    worker = AgentWorker(lifespan=asynccontextmanager(_nothing))
    with pytest.raises(ValueError, match="lifespan is declared twice"):
        worker.lifespan(_nothing)


def test_what_is_no_lifespan_is_refused() -> None:
    """Neither something that cannot be called, nor a coroutine, nor a function with parameters."""

    async def coroutine() -> None:
        """Yields nothing."""

    async def with_parameter(_: int) -> AsyncGenerator[None, None]:
        yield

    for wrong in (7, coroutine, with_parameter):
        lifespan: Any = wrong
        with pytest.raises(TypeError):
            AgentWorker(lifespan=lifespan)


async def _nothing() -> AsyncGenerator[None, None]:
    yield


async def _answer(_: Task) -> str:
    return ""
