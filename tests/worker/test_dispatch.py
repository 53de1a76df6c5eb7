"""How workers share queues with each other, with plain agents, and with whoever pushes tasks."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from typing import cast

import pytest
from tests.servers import wait_until
from tests.worker.service import CALLBACKS, Service, running
from tests.worker.supervisor import Supervisor

from orchestrator.broker.agent_queues import PAGE
from orchestrator.broker.dispatch import Claimed
from orchestrator.broker.seat import Over, Seat, Turn
from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker, Task
from orchestrator.worker.adoption import Adoption
from orchestrator.worker.claims import Claims
from orchestrator.worker.slots import Slots


@pytest.fixture
def server(each_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server of each kind."""
    return each_valkey


@pytest.fixture
def no_adoption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that learn of tasks by dispatch alone."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Adoption, "run", never)


def echo(server: ValkeyServer, *, concurrency: int = 2, lease: float | None = None) -> AgentWorker:
    """A worker that answers with what it was sent."""
    worker = AgentWorker(concurrency=concurrency, redis_url=server.url, lease=lease)

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return task.message

    return worker


@pytest.mark.usefixtures("no_adoption")
async def test_a_wake_up_is_enough(server: ValkeyServer, service: Service, supervisor: Supervisor) -> None:
    """A worker that waits is woken by dispatch, without a look at its queues and long before its next renewal."""
    async with running(echo(server, lease=3600)):
        for message in ("one", "two", "three"):
            await wait_until(lambda: service.redis.scard("{dispatch}:idle"))
            await supervisor.announce(service.task(message))
            assert (await service.ending())["result"]["response"] == message


@pytest.mark.usefixtures("no_adoption")
async def test_a_free_slot_is_enough(server: ValkeyServer, service: Service, supervisor: Supervisor) -> None:
    """A worker that was busy claims the next task as soon as one has ended."""
    async with running(echo(server, concurrency=1, lease=3600)):
        for number in range(10):
            await supervisor.announce(service.task(str(number)))
        answers = [(await service.ending())["result"]["response"] for _ in range(10)]

    assert answers == [str(number) for number in range(10)]


class BusySeat:
    """Dispatch, to a worker that has no slot."""

    def __init__(self) -> None:
        self.slots: list[int | None] = []

    async def turn(self, _: Over, slots: int | None) -> Turn:
        """Gives nothing."""
        self.slots.append(slots)
        return Turn([], told=True)


async def test_a_wake_up_without_a_slot_is_handed_on() -> None:
    """A worker that is woken and has no slot any more lets dispatch wake another one."""
    seat, slots, nobody = BusySeat(), Slots(1), list[Claimed]()
    slots.reserve()
    claims = Claims(cast("Seat", seat), slots, nobody.append)
    run = asyncio.create_task(claims.run())
    await wait_until(lambda: seat.slots == [0])
    claims.ended(("task-1", 1), ran=True)
    await wait_until(lambda: seat.slots == [0, None])
    claims.look()
    await wait_until(lambda: seat.slots == [0, None, 0])
    run.cancel()


async def test_a_plain_agent_beside_workers(server: ValkeyServer, service: Service) -> None:
    """BRPOP and workers share one queue: every task is taken by exactly one of them."""
    taken: list[str] = []

    async def plain() -> None:
        while True:
            found = await service.redis.brpop(["execution:agent-123:professional"], timeout=1)
            if found:
                taken.append(json.loads(found[1])["task_id"])

    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(running(echo(server)))
        popping = asyncio.create_task(plain())
        async with Service(server.port) as pusher:
            sent = [await pusher.send() for _ in range(100)]
            endings: list[str] = []
            while len(endings) + len(taken) < len(sent):
                endings += await completed(pusher)
        popping.cancel()

    assert Counter(endings + taken) == dict.fromkeys(sent, 1)
    assert await service.waiting() == 0


async def test_an_element_too_many(server: ValkeyServer, service: Service) -> None:
    """The same attempt pushed twice, as by a producer whose answer got lost, runs once; nothing stays behind."""
    task = json.dumps(service.task("once"))
    async with running(echo(server)):
        await service.redis.lpush("execution:agent-123:professional", task, task)
        assert (await service.ending())["result"]["response"] == "once"
        await wait_until(lambda: _is_empty(service))
        await service.send("after")
        assert (await service.until_end())[-1]["result"]["response"] == "after"

    assert await service.silent()


async def test_what_dispatch_does_not_know_deep_in_a_queue(
    server: ValkeyServer, service: Service, supervisor: Supervisor
) -> None:
    """A task that nobody announced is found behind any number of newer ones that are waiting for their turn."""
    gate = asyncio.Event()
    begun: list[str] = []
    worker = AgentWorker(concurrency=2, redis_url=server.url)

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        begun.append(task.message)
        if task.message == "first":
            await gate.wait()
        return task.message

    # Of the tenant with a cap only one may run, so that a slot stays free and the queue long.
    await service.send("hidden", callback_queue="orchestrator:other:callbacks")
    await supervisor.announce(service.task("first"), cap=1)
    for _capped in range(PAGE + 50):
        await supervisor.announce(service.task("capped"), cap=1)
    async with running(worker):
        await wait_until(lambda: sorted(begun) == ["first", "hidden"], within=10)
        gate.set()


async def test_no_task_is_lost_when_workers_come_and_go(server: ValkeyServer, service: Service) -> None:
    """Workers that stop in the middle of a backlog leave the rest to others: each task ends once."""
    sent = [await service.send(str(number)) for number in range(120)]
    endings: list[str] = []
    while len(endings) < len(sent):
        async with running(echo(server, concurrency=3)):
            endings += [(await service.ending())["task_id"] for _ in range(min(15, len(sent) - len(endings)))]
        endings += await completed(service)

    assert Counter(endings) == dict.fromkeys(sent, 1)


async def completed(service: Service) -> list[str]:
    """The tasks whose answers are among the callbacks that are there."""
    found: list[bytes] = await service.redis.rpop(CALLBACKS, 100) or []
    callbacks = [json.loads(callback) for callback in found]
    return [callback["task_id"] for callback in callbacks if callback["status"] == "completed"]


async def _is_empty(service: Service) -> bool:
    return await service.waiting() == 0
