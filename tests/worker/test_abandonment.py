"""An agent that ignores its cancellation costs its worker nothing but patience."""

import asyncio
from collections.abc import AsyncGenerator

from structlog.testing import capture_logs
from tests.servers import wait_until
from tests.worker.service import Service, running

from orchestrator.worker import AgentWorker, Task


class Stubborn:
    """An agent that goes on, whoever cancels it."""

    def __init__(self, worker: AgentWorker) -> None:
        self.gate = asyncio.Event()
        self.ended: list[str] = []
        worker.concurrency, worker.cancel_timeout = 1, 0.1
        worker.agent("agent-123")(self.answer)
        worker.agent("agent-456")(self.say)

    async def answer(self, _: Task) -> AsyncGenerator[str, None]:
        """Waits for the gate, and speaks when nobody listens any more."""
        try:
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    continue
            yield "too late"
        finally:
            self.ended.append("stubborn")

    async def say(self, task: Task) -> str:
        """Behaves."""
        return task.message


async def test_its_slot_is_free_for_others(service: Service, worker: AgentWorker) -> None:
    """After `cancel_timeout` it is logged and its slot given to the next task; nothing of it is ever reported."""
    agent = Stubborn(worker)
    with capture_logs() as logs:
        async with running(worker):
            task_id = await service.send()
            assert (await service.callback())["status"] == "running"
            await service.cancel(task_id)
            await service.send("next", context="agent-456")
            assert (await service.ending())["result"]["response"] == "next"
            assert agent.ended == []
            agent.gate.set()
            await wait_until(lambda: agent.ended)

    abandoned = next(line for line in logs if line["event"] == "agent_abandoned")
    assert (abandoned["task_id"], abandoned["reason"]) == (task_id, "cancelled")
    assert await service.silent()


async def test_a_deadline_is_the_same(service: Service, worker: AgentWorker) -> None:
    """Also one that ignores its deadline loses its slot."""
    agent = Stubborn(worker)
    async with running(worker):
        await service.send(seconds=2)
        assert (await service.callback())["status"] == "running"
        await service.send("next", context="agent-456")
        assert (await service.ending())["result"]["response"] == "next"
        agent.gate.set()
        await wait_until(lambda: agent.ended)

    assert await service.silent()


async def test_a_worker_stops_without_it(service: Service, worker: AgentWorker) -> None:
    """A worker that stops hands the task over and does not wait for the agent for ever."""
    agent = Stubborn(worker)
    worker.stop_timeout = 0.1
    async with running(worker):
        await service.send()
        assert (await service.callback())["status"] == "running"
        await worker.stop()
        assert (await service.ending())["retry"] is True
        assert agent.ended == []
        agent.gate.set()
        await wait_until(lambda: agent.ended)

    assert await service.silent()
