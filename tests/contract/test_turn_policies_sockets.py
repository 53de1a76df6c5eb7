"""Turn policies in `send` frames, of the agent's record, and when a replica dies (contract §3, §4)."""

from typing import Any

import pytest
from tests.broker.tenant import KEEPING
from tests.contract.client import Agent, Caller, problem
from tests.contract.conftest import Command, Connect, NewTenant, StartService
from tests.contract.socket_client import watch
from tests.contract.test_turn_policies import SUPERSEDED, running
from tests.servers import OrchestratorServer

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Callbacks
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer


def frame(caller: Caller, **members: Any) -> dict[str, Any]:
    """A `send` frame."""
    return {
        "type": "send",
        "agent_id": caller.tenant.agent,
        "message": "Hello",
        "request_id": "r-1",
    } | members


async def test_interrupt(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """A frame does what a POST does."""
    task = await running(caller, agent)
    async with watch(service, caller) as socket:
        answer = await socket.answer(frame(caller, turn_policy="interrupt"))
        assert answer["type"] == "accepted"
    assert (await agent.take())["task_id"] == answer["data"]["task_id"]
    assert (await caller.ledger(task["task_id"]))["code"] == SUPERSEDED["code"]


async def test_reject(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """The refusal comes as an `error` frame with the request's own id."""
    await running(caller, agent)
    async with watch(service, caller) as socket:
        answer = await socket.answer(frame(caller, turn_policy="reject"))
    assert (answer["type"], answer["data"]["code"]) == ("error", "session_busy")
    assert answer["data"]["request_id"] == "r-1"
    assert await agent.redis.llen(agent.queue) == 0


@pytest.mark.parametrize("policy", ["queue", "latest", "merge", "steer"])
async def test_held(service: OrchestratorServer, caller: Caller, agent: Agent, policy: str) -> None:
    """What waits is accepted, shown as queued, and goes when what it waits for has ended."""
    task = await running(caller, agent)
    async with watch(service, caller) as socket:
        answer = await socket.answer(frame(caller, turn_policy=policy))
        held = answer["data"]["task_id"]
        assert answer["data"]["status"] == "queued"
        assert await agent.redis.llen(agent.queue) == 0
        await agent.complete(task)
        assert (await agent.take())["task_id"] == held


async def test_policy_of_the_agent(orchestrator: Command, caller: Caller, agent: Agent) -> None:
    """A message that names no policy is taken as the agent's record says, at once after it was changed."""
    await running(caller, agent)
    update = ("agents", "update", caller.tenant.agent, "--turn-policy")
    await orchestrator(*update, "reject")
    problem(await caller.send(), 409, "session_busy")
    named = (await caller.accepted(turn_policy="parallel"))["task_id"]
    assert (await agent.take())["task_id"] == named
    await orchestrator(*update, "default")
    unnamed = (await caller.accepted())["task_id"]
    assert (await agent.take())["task_id"] == unnamed


async def test_the_replica_that_took_the_ending_dies(
    start_service: StartService,
    connect: Connect,
    new_tenant: NewTenant,
    redis_client: Any,
    redis_server: ValkeyServer,
) -> None:
    """Between the ending and what follows from it: another replica lets the held message go, by the agenda."""
    tenant = await new_tenant()
    first = start_service()
    caller, agent = Caller(connect(first), tenant), Agent(redis_client, tenant)
    task = await running(caller, agent)
    held = (await caller.accepted(turn_policy="queue"))["task_id"]
    first.kill()
    await agent.complete(task)
    prefix = task["callback_queue"].partition(":")[0]
    async with Broker(redis_server.url, Keys("nobody", prefix), KEEPING) as broker:
        (delivered,) = await Callbacks(broker).deliver([tenant.id])
    assert [ending.task for ending in delivered.ended] == [task["task_id"]]
    await redis_client.zadd(f"{{{task['callback_queue']}}}:held", {held: 1})
    async for agenda in redis_client.scan_iter(match="{*:agenda:*}"):
        if await redis_client.zscore(agenda, tenant.id) is not None:
            await redis_client.zadd(agenda, {tenant.id: 1})

    start_service()
    assert (await agent.take(10))["task_id"] == held
