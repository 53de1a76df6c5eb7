"""What an agent finds on `execution:{context_id}:{tier}` (contract §5)."""

import json
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.conftest import NewTenant
from tests.contract.exchange import asked, ended

from orchestrator.store.store import Store

Kind = Literal["workflow", "collection"]

HEADERS = {
    "X-User-ID": "user-789",
    "X-Conversation-ID": "conv-def456",
    "X-Request-Source": "web",
    "X-Client-Version": "1.2.3",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


def moment(text: str) -> datetime:
    """An RFC 3339 moment in UTC."""
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text)


async def test_the_task_member_by_member(caller: Caller, agent: Agent) -> None:
    """One JSON object with exactly the members of the contract's sample."""
    tenant = caller.tenant
    accepted, task = await asked(
        caller,
        agent,
        headers=HEADERS,
        message="Grüße 🚀\n\u0000",
        user_info={"name": "Ada"},
        metadata={"k": [1, None]},
        max_iterations=5,
        timeout=60,
    )
    context = task["execution_context"]
    assert task == {
        "action_type": "execution.agent_run",
        "task_id": accepted["task_id"],
        "attempt": 1,
        "tenant_id": tenant.id,
        "tenant_tier": tenant.tier,
        "session_id": caller.session_id,
        "user_id": "user-789",
        "conversation_id": "conv-def456",
        "execution_context": {
            "context_id": tenant.agent,
            "context_type": "agent",
            "tenant_id": tenant.id,
            "tenant_tier": tenant.tier,
            "primary_agent_id": tenant.agent,
            "agents": [tenant.agent],
            "collections": [],
            "metadata": {"request_source": "web", "client_version": "1.2.3"},
            "created_at": context["created_at"],
        },
        "message": "Grüße 🚀\n\u0000",
        "message_type": "text",
        "user_info": {"name": "Ada"},
        "metadata": {"k": [1, None]},
        "stream": True,
        "max_iterations": 5,
        "callback_queue": tenant.callbacks,
        "cancel_key": task["cancel_key"],
        "created_at": accepted["created_at"],
        "deadline": task["deadline"],
        "traceparent": task["traceparent"],
    }
    assert moment(task["deadline"]) - moment(task["created_at"]) == timedelta(seconds=60)
    assert task["traceparent"].split("-")[1] == HEADERS["traceparent"].split("-")[1]
    assert moment(context["created_at"])
    assert task["cancel_key"]


async def test_what_was_not_said_has_its_default(caller: Caller, agent: Agent) -> None:
    """The members are all there, also when only the required headers were."""
    _, task = await asked(caller, agent)
    assert (task["user_info"], task["metadata"], task["stream"]) == ({}, {}, True)
    assert (task["max_iterations"], task["message_type"]) == (None, "text")
    assert {"user_id", "conversation_id", "traceparent"} <= task.keys()
    assert (task["user_id"], task["conversation_id"]) == (None, None)
    assert moment(task["deadline"]) - moment(task["created_at"]) == timedelta(seconds=300)


async def test_the_oldest_is_taken_first(caller: Caller, agent: Agent) -> None:
    """A producer LPUSHes: who takes from the right takes them in order."""
    sent = [(await caller.accepted(f"{number}"))["task_id"] for number in range(5)]
    assert [(await agent.take())["task_id"] for _ in range(5)] == sent


async def test_a_place_in_the_queue(caller: Caller, agent: Agent) -> None:
    """The ledger tells the queue and, while it waits, the place in it."""
    tasks = [await caller.accepted() for _ in range(3)]
    places = [(await caller.ledger(task["task_id"]))["queue_position"] for task in tasks]
    assert places == sorted(set(places))
    assert (await caller.ledger(tasks[0]["task_id"]))["queue"] == agent.queue == tasks[0]["queue"]
    taken = await agent.take()
    await agent.complete(taken)
    assert not (await ended(caller, taken["task_id"]))["queue_position"]


@pytest.mark.parametrize("kind", ["workflow", "collection"])
async def test_other_contexts(
    new_tenant: NewTenant, environment: dict[str, str], http: Any, redis_client: Any, kind: Kind
) -> None:
    """Each has a queue of its own; `collections` holds `X-Collection-ID` whenever it was given."""
    tenant = await new_tenant()
    contexts: dict[Kind, str] = {"workflow": f"workflow-{tenant.id}", "collection": f"collection-{tenant.id}"}
    async with Store(environment["DATABASE_URL"]) as store:
        for name, context_id in contexts.items():
            await store.create_context(tenant.id, name, context_id)
    caller, agent = Caller(http, tenant), Agent(redis_client, tenant, contexts[kind])
    headers = {"X-Context-Type": kind, "X-Collection-ID": contexts["collection"]}
    if kind == "workflow":
        headers["X-Agent-ID"] = contexts["workflow"]
    accepted, task = await asked(caller, agent, headers=headers)
    context = task["execution_context"]
    assert accepted["queue"] == f"execution:{contexts[kind]}:{tenant.tier}"
    assert (context["context_id"], context["context_type"]) == (contexts[kind], kind)
    assert context["collections"] == [contexts["collection"]]


async def test_an_id_without_its_type(caller: Caller, agent: Agent) -> None:
    """`X-Agent-ID: 123` and `agent-123` are one agent."""
    bare = caller.tenant.agent.removeprefix("agent-")
    accepted, task = await asked(caller, agent, headers={"X-Agent-ID": bare})
    assert accepted["context_id"] == task["execution_context"]["context_id"] == caller.tenant.agent


async def test_cancelled_before_it_was_taken(caller: Caller, agent: Agent) -> None:
    """The element leaves the queue, and `cancel_key` exists: a list with one element."""
    first, second = await caller.accepted("one"), await caller.accepted("two")
    waiting = [json.loads(item) for item in await agent.redis.lrange(agent.queue, 0, -1)]
    (key,) = [task["cancel_key"] for task in waiting if task["task_id"] == first["task_id"]]
    assert not await agent.redis.exists(key)

    answer = await caller.cancel(first["task_id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    left = [json.loads(item)["task_id"] for item in await agent.redis.lrange(agent.queue, 0, -1)]
    assert left == [second["task_id"]]
    assert await agent.redis.type(key) == "list"
    assert await agent.redis.llen(key) == 1
    assert await agent.redis.ttl(key) > 0


async def test_cancelled_while_an_agent_has_it(caller: Caller, agent: Agent) -> None:
    """An agent that waits on `cancel_key` with BLPOP is told; what it reports afterwards is dropped."""
    _, task = await asked(caller, agent)
    await agent.report(task, "running")
    other = Caller(caller.http, caller.tenant)
    await caller.cancel(task["task_id"])
    assert await agent.redis.blpop([task["cancel_key"]], timeout=5)

    before = await caller.ledger(task["task_id"])
    await agent.report(task, "streaming", result={"delta": "late"}, seq=0)
    await agent.complete(task, "late")
    _, barrier = await asked(other, agent)
    await agent.complete(barrier)
    await ended(other, barrier["task_id"])
    assert await caller.ledger(task["task_id"]) == before
    assert (before["status"], before["code"]) == ("cancelled", "cancelled")


async def test_cancelled_twice_or_after_the_end(caller: Caller, agent: Agent) -> None:
    """Ended tasks stay as they ended; asking again gives the same ledger."""
    _, task = await asked(caller, agent)
    await agent.complete(task, "done")
    ledger = await ended(caller, task["task_id"])
    answer = await caller.cancel(task["task_id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert (await caller.ledger(task["task_id"]))["result"] == ledger["result"]
    assert not await agent.redis.exists(task["cancel_key"])
