"""A worker that stops keeps its word to the tasks it has (contract §9)."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.servers import wait_until
from tests.worker.service import Service, running

from orchestrator.worker import AgentWorker, Task


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
        # The wait for tasks that was under way when the stop began runs out within a second.
        await asyncio.wait({stop}, timeout=1.2)
        assert not stop.done()
        await service.send()
        gate.set()
        await stop

    assert (await service.ending())["result"]["response"] == "half whole"
    assert await service.waiting() == 1


async def test_stop_gives_back_what_came_too_late(service: Service, worker: AgentWorker) -> None:
    """A task that arrives in the last wait of a stopping worker goes back as the next of its queue."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "never"

    async with running(worker):
        await wait_until(lambda: _blocked(service))
        stop = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        task_id = await service.send()
        await service.send("second")
        await stop

    next_one = await service.redis.rpop("execution:agent-123:professional")
    assert task_id.encode() in next_one
    assert await service.silent()


async def test_stop_fails_what_takes_too_long(service: Service, worker: AgentWorker) -> None:
    """After `stop_timeout` the rest is failed with `worker_stopped`, and the handlers are cancelled."""
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


async def _blocked(service: Service) -> bool:
    return "cmd=brpop" in str(await service.redis.execute_command("CLIENT", "LIST")).replace("'", "")


async def _has_callbacks(service: Service, number: int) -> bool:
    return await service.redis.llen("orchestrator:tenant-456:callbacks") >= number
