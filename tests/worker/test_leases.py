"""A worker has what it runs on a lease: who falls silent loses its tasks, and hears of it."""

import asyncio
from pathlib import Path

import pytest
from tests.servers import wait_until
from tests.worker.service import CALLBACKS, Service, running
from tests.worker.supervisor import Supervisor
from tests.worker.worker_process import worker_process

from orchestrator.broker.agent_queues import AgentQueues, Taken
from orchestrator.broker.dispatch import Lapsed
from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker, Task

QUICK = 0.3


@pytest.fixture
def server(each_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server of each kind."""
    return each_valkey


@pytest.fixture
def worker(server: ValkeyServer) -> AgentWorker:
    """A worker with two slots and a short lease."""
    return AgentWorker(concurrency=2, redis_url=server.url, lease=QUICK, chunk_interval=0)


class Staying:
    """An agent that stays until it is cancelled or let go."""

    def __init__(self, worker: AgentWorker) -> None:
        self.cancelled: list[tuple[str, int]] = []
        self.gate = asyncio.Event()
        worker.agent("agent-123")(self.stay)

    async def stay(self, task: Task) -> str:
        """Only its first attempt stays."""
        try:
            if task.attempt == 1:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append((task.task_id, task.attempt))
            raise
        return f"attempt {task.attempt}"


async def test_a_killed_worker_loses_its_task(
    tmp_path: Path, server: ValkeyServer, service: Service, supervisor: Supervisor, worker: AgentWorker
) -> None:
    """After SIGKILL the lease runs out; told to, another worker runs attempt 2."""
    Staying(worker)
    task = service.task("stay")
    with worker_process(tmp_path, server) as process:
        await supervisor.announce(task)
        assert (await service.callback(20))["status"] == "running"
        process.kill()
        assert await supervisor.overdue() == []
        lapsed = await lapses(supervisor)
    assert [(one.task, one.attempt, one.home) for one in lapsed] == [(task["task_id"], 1, CALLBACKS)]

    async with running(worker):
        await supervisor.retry(task)
        callbacks = await service.until_end()

    assert callbacks[-1]["result"]["response"] == "attempt 2"
    assert {callback["attempt"] for callback in callbacks[1:]} == {2}


async def test_a_frozen_worker_is_fenced(
    tmp_path: Path, server: ValkeyServer, service: Service, supervisor: Supervisor, worker: AgentWorker
) -> None:
    """A worker that was stopped and goes on finds its task lost: what it still says bears the old attempt."""
    Staying(worker)
    task = service.task("stay")
    with worker_process(tmp_path, server) as process:
        await supervisor.announce(task)
        assert [(await service.callback(20))["status"] for _ in range(2)] == ["running", "streaming"]
        process.freeze()
        await lapses(supervisor)
        async with running(worker):
            await supervisor.retry(task)
            assert (await service.ending())["attempt"] == 2
        process.thaw()
        await wait_until(lambda: '"reason":"lost"' in process.log, within=10)
        last = await service.ending()

    assert (last["attempt"], last["retry"]) == (1, True)
    assert await service.silent()


async def test_what_runs_keeps_its_lease(
    service: Service, supervisor: Supervisor, worker: AgentWorker
) -> None:
    """An agent may take longer than the lease; its end gives the lease back."""
    agent = Staying(worker)
    async with running(worker):
        task_id = await service.send()
        assert (await service.callback())["status"] == "running"
        first = await supervisor.lease_ends(task_id) or 0
        await wait_until(lambda: _lasts(supervisor, task_id, first + 1000 * QUICK))
        assert await supervisor.overdue() == []
        agent.gate.set()
        assert (await service.ending())["result"]["response"] == "attempt 1"
        await wait_until(lambda: _is_free(supervisor, task_id))


async def test_a_replaced_attempt_is_cancelled(
    service: Service, supervisor: Supervisor, worker: AgentWorker
) -> None:
    """Once another attempt has begun, the next renewal tells the worker, whose last word bears attempt 1."""
    agent = Staying(worker)
    task = service.task("hi")
    async with running(worker):
        await supervisor.announce(task)
        assert (await service.callback())["status"] == "running"
        await supervisor.retry(task)
        # Which of them comes first is a matter of when the renewal falls.
        endings = {ending["attempt"]: ending for ending in [await service.ending(), await service.ending()]}

    assert agent.cancelled == [(task["task_id"], 1)]
    assert endings[1]["retry"]
    assert endings[2]["status"] == "completed"
    assert await service.silent()


async def test_what_is_lost_to_nobody_is_tried_again(
    service: Service, supervisor: Supervisor, worker: AgentWorker
) -> None:
    """Where dispatch is wrong and nobody else has the task, the worker that gives it up asks for the next attempt."""
    agent = Staying(worker)
    async with running(worker):
        task_id = await service.send()
        assert (await service.callback())["status"] == "running"
        await supervisor.dispatch.finish([(task_id, 1)])
        ending = await service.ending()
        await wait_until(lambda: agent.cancelled == [(task_id, 1)])

    assert (ending["status"], ending["attempt"], ending["retry"]) == ("failed", 1, True)
    assert ending["result"]["error"]["code"] == "worker_lost"
    assert await service.silent()


async def test_gone_comes_at_once(service: Service, supervisor: Supervisor, worker: AgentWorker) -> None:
    """What the service has ended stops long before the next renewal, also without a `cancel_key`."""
    agent = Staying(worker)
    worker.lease = 3600
    task = service.task("hi", cancel_key=None)
    async with running(worker):
        await supervisor.announce(task)
        assert (await service.callback())["status"] == "running"
        await supervisor.dispatch.finish([(task["task_id"], 1)], tell=True)
        await wait_until(lambda: agent.cancelled == [(task["task_id"], 1)])

    assert await service.silent()


async def test_dispatch_forgets(service: Service, supervisor: Supervisor, worker: AgentWorker) -> None:
    """A Redis that comes back empty does not cost a task: its worker takes the lease again and answers."""
    agent = Staying(worker)
    async with running(worker):
        task_id = await service.send()
        assert (await service.callback())["status"] == "running"
        await service.redis.flushall()
        await wait_until(lambda: supervisor.lease_ends(task_id))
        await service.send(attempt=2)
        assert (await service.ending())["result"]["response"] == "attempt 2"
        agent.gate.set()
        assert (await service.ending())["task_id"] == task_id


async def test_a_take_of_unknown_outcome(
    service: Service, supervisor: Supervisor, worker: AgentWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a worker cannot know whether the task is its own, it lets the lease run out, so that somebody asks."""
    Staying(worker)

    async def lost(*_: object) -> Taken:
        return Taken(None, certain=False)

    monkeypatch.setattr(AgentQueues, "take", lost)
    async with running(worker):
        task_id = await service.send()
        await wait_until(lambda: supervisor.lease_ends(task_id))
        lapsed = await lapses(supervisor)

    assert lapsed[0].task == task_id


async def lapses(supervisor: Supervisor) -> list[Lapsed]:
    """The next leases that are over."""
    found: list[Lapsed] = []

    async def some() -> bool:
        found.extend(await supervisor.overdue())
        return bool(found)

    await wait_until(some, within=10)
    return found


async def _lasts(supervisor: Supervisor, task_id: str, until: float) -> bool:
    return (await supervisor.lease_ends(task_id) or 0) > until


async def _is_free(supervisor: Supervisor, task_id: str) -> bool:
    return await supervisor.lease_ends(task_id) is None
