"""What happens by itself: deadlines, and pushes that failed (contract §3 "What an answer means", §5)."""

import json
from typing import Any

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.conftest import Connect, StartService
from tests.contract.exchange import asked, ended, say
from tests.contract.socket_client import watch
from tests.contract.test_queues_tasks import moment
from tests.servers import OrchestratorServer, wait_until


@pytest.mark.parametrize("stage", ["queued", "taken", "running", "streaming"])
async def test_a_task_without_an_ending(
    service: OrchestratorServer, caller: Caller, agent: Agent, stage: str
) -> None:
    """By its deadline a task ends as `timeout`, code `deadline`, whatever it was doing."""
    async with watch(service, caller) as socket:
        accepted = await caller.accepted(timeout=1)
        if stage != "queued":
            task = await agent.take()
            if stage == "running":
                await agent.report(task, "running")
            if stage == "streaming":
                await say(agent, task, ["so far"])
        frame = await socket.ending(accepted["task_id"])

    assert frame["type"] == "error"
    assert (frame["data"]["status"], frame["data"]["code"]) == ("timeout", "deadline")
    ledger = await caller.ledger(accepted["task_id"])
    assert (ledger["status"], ledger["code"]) == ("timeout", "deadline")
    late = moment(ledger["timeline"]["ended_at"]) - moment(ledger["timeline"]["accepted_at"])
    assert 1 <= late.total_seconds() < 3
    assert await agent.redis.llen(agent.queue) == 0


async def test_what_comes_after_the_deadline(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """An answer that is too late is dropped: exactly one ending."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent, timeout=1)
        await socket.ending(task["task_id"])
        await agent.complete(task, "late")
        _, next_task = await asked(caller, agent)
        await agent.complete(next_task)
        await socket.ending(next_task["task_id"])
    endings = [f for f in socket.events if f["task_id"] == task["task_id"] and f["type"] != "task_update"]
    assert [frame["type"] for frame in endings] == ["error"]


async def test_due_while_nobody_was_there(
    start_service: StartService, connect: Connect, caller: Caller, agent: Agent
) -> None:
    """Every replica was down when the deadline came: the next one that lives ends the task."""
    server = start_service()
    mine = Caller(connect(server), caller.tenant)
    accepted = await mine.accepted(timeout=2)
    task = await agent.take()
    server.kill()

    async def is_due() -> bool:
        seconds, micros = await agent.redis.time()
        return seconds + micros / 1e6 > moment(task["deadline"]).timestamp()

    await wait_until(is_due)
    replacement = start_service()
    again = Caller(connect(replacement), caller.tenant, mine.session_id)
    ledger = await ended(again, accepted["task_id"])
    assert (ledger["status"], ledger["code"]) == ("timeout", "deadline")
    async with watch(replacement, again, accepted["position"]) as socket:
        assert (await socket.ending(accepted["task_id"]))["data"]["code"] == "deadline"


async def test_callbacks_wait_for_a_replica(
    start_service: StartService, connect: Connect, caller: Caller, agent: Agent
) -> None:
    """What agents reported while every replica was down is delivered by the next one."""
    server = start_service()
    mine = Caller(connect(server), caller.tenant)
    accepted, task = await asked(mine, agent)
    server.kill()
    await say(agent, task, ["a", "b"])
    await agent.report(task, "completed", result={})
    replacement = start_service()
    again = Caller(connect(replacement), caller.tenant, mine.session_id)
    async with watch(replacement, again, accepted["position"]) as socket:
        frame = await socket.ending(accepted["task_id"])
    assert frame["data"]["response"] == "ab"


async def test_a_push_that_failed_is_repeated(
    service: OrchestratorServer, caller: Caller, agent: Agent, redis_client: Any
) -> None:
    """202 and the queue cannot be written: the service pushes as soon as it can, and once."""
    await redis_client.set(agent.queue, "no list")
    try:
        async with watch(service, caller) as socket:
            accepted = await caller.accepted("Hello")
            await redis_client.delete(agent.queue)
            await wait_until(lambda: redis_client.llen(agent.queue), within=20)
            (element,) = await redis_client.lrange(agent.queue, 0, -1)
            assert json.loads(element)["task_id"] == accepted["task_id"]
            task = await agent.take()
            await agent.complete(task, "at last")
            frame = await socket.ending(accepted["task_id"])
    finally:
        await redis_client.delete(agent.queue)
    assert frame["data"]["response"] == "at last"
    # Meanwhile it may have been told why it waits.
    told = [f["data"].get("status") for f in socket.events if "waiting_for" not in f["data"]]
    assert told == ["queued", "completed"]
    assert await redis_client.llen(agent.queue) == 0


async def test_a_push_that_never_works(
    service: OrchestratorServer, caller: Caller, agent: Agent, redis_client: Any
) -> None:
    """A task that could never be pushed still has its ending, at its deadline."""
    await redis_client.set(agent.queue, "no list")
    try:
        async with watch(service, caller) as socket:
            accepted = await caller.accepted(timeout=2)
            frame = await socket.ending(accepted["task_id"])
    finally:
        await redis_client.delete(agent.queue)
    assert (frame["data"]["status"], frame["data"]["code"]) == ("timeout", "deadline")


@pytest.mark.parametrize("kind", ["string", "hash", "zset", "stream"])
async def test_a_hostile_queue_hurts_nobody_else(
    service: OrchestratorServer, caller: Caller, agent: Agent, new_tenant: Any, redis_client: Any, kind: str
) -> None:
    """A callback queue of the wrong type stops its own tenant's callbacks until it is mended, no other's."""
    other = Caller(caller.http, await new_tenant())
    others_agent = Agent(redis_client, other.tenant)
    _, stuck = await asked(caller, agent)
    key = caller.tenant.callbacks
    try:
        await spoil(redis_client, key, kind)
        for _ in range(3):
            _, task = await asked(other, others_agent)
            await others_agent.complete(task)
            assert (await ended(other, task["task_id"]))["status"] == "completed"
    finally:
        await redis_client.delete(key)
    await agent.complete(stuck, "mended")
    assert (await ended(caller, stuck["task_id"]))["status"] == "completed"


async def spoil(redis_client: Any, key: str, kind: str) -> None:
    """Makes `key` a value on which no list command works."""
    commands: dict[str, tuple[str, ...]] = {
        "string": ("SET", key, "x"),
        "hash": ("HSET", key, "a", "b"),
        "zset": ("ZADD", key, "1", "a"),
        "stream": ("XADD", key, "*", "a", "b"),
    }
    await redis_client.execute_command(*commands[kind])
