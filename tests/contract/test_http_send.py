"""POST /api/chat/send: the answer and the task that an agent gets (contract §1, §3, §5)."""

import asyncio
import re
from datetime import datetime
from typing import Any

import pytest
from tests.contract.client import Agent, Caller, Tenant, unique
from tests.contract.conftest import BOTH_WAYS, NewContext

from orchestrator.protocol.turn_policies import TURN_POLICIES

pytestmark = [*BOTH_WAYS]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def moment(text: str) -> datetime:
    """A time as the contract writes it: RFC 3339, in UTC."""
    assert TIME.fullmatch(text), text
    return datetime.fromisoformat(text)


async def test_the_answer_has_these_members_and_no_others(caller: Caller) -> None:
    """202 with exactly the contract's seven members, and `Location` names the task."""
    answer = await caller.send("Hello")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    names = {"task_id", "status", "queue", "session_id", "context_id", "position", "created_at"}
    assert set(body) == names
    assert body["status"] == "queued"
    assert body["queue"] == caller.tenant.queue()
    assert (body["session_id"], body["context_id"]) == (caller.session_id, caller.tenant.agent)
    assert answer.headers["location"] == f"/api/chat/tasks/{body['task_id']}"
    assert answer.headers["content-type"].startswith("application/json")
    moment(body["created_at"])


async def test_task_ids_are_long_and_random(caller: Caller) -> None:
    """`task_id` is `task-` and at least 128 random bits: 22 characters of base64, 32 of hex."""
    ids = [(await caller.accepted())["task_id"] for _ in range(3)]
    assert len(set(ids)) == 3
    for task_id in ids:
        assert re.fullmatch(r"task-[A-Za-z0-9_-]{22,}", task_id)


async def test_position_is_where_the_log_stood_before_the_task(caller: Caller) -> None:
    """Two sends in a row: the second position lies after the first, in the same epoch."""
    first, second = await caller.accepted(), await caller.accepted()
    one, two = (re.fullmatch(r"([^:]+):(\d+)-(\d+)", sent["position"]) for sent in (first, second))
    assert one
    assert two
    assert one[1] == two[1]
    assert int(one[2]) == 0
    assert int(two[2]) > 0


async def test_the_task_on_the_queue_is_the_contracts(caller: Caller, agent: Agent) -> None:
    """Every member of the task object, with the optional headers given."""
    user, conversation = "user 789", unique("conv")
    headers = {
        "X-User-ID": user,
        "X-Conversation-ID": conversation,
        "X-Request-Source": "web",
        "X-Client-Version": "1.2.3",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    sent = await caller.accepted(
        "¿Qué tal? 👋",
        headers,
        message_type="text",
        user_info={"name": "Ada"},
        metadata={"a": [1, None]},
        max_iterations=3,
        timeout=60,
    )
    task = await agent.take()
    tenant = caller.tenant
    assert isinstance(task.pop("cancel_key"), str)
    created, deadline = moment(task.pop("created_at")), moment(task.pop("deadline"))
    assert 59 <= (deadline - created).total_seconds() <= 61
    moment(task["execution_context"].pop("created_at"))
    # The trace goes on from the caller's span: the same trace, whatever span the service adds.
    assert task.pop("traceparent").startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert task == {
        "action_type": "execution.agent_run",
        "task_id": sent["task_id"],
        "attempt": 1,
        "tenant_id": tenant.id,
        "tenant_tier": "professional",
        "session_id": caller.session_id,
        "user_id": user,
        "conversation_id": conversation,
        "execution_context": {
            "context_id": tenant.agent,
            "context_type": "agent",
            "tenant_id": tenant.id,
            "tenant_tier": "professional",
            "primary_agent_id": tenant.agent,
            "agents": [tenant.agent],
            "collections": [],
            "metadata": {"request_source": "web", "client_version": "1.2.3"},
        },
        "message": "¿Qué tal? 👋",
        "message_type": "text",
        "user_info": {"name": "Ada"},
        "metadata": {"a": [1, None]},
        "stream": True,
        "max_iterations": 3,
        "callback_queue": tenant.callbacks,
    }


async def test_what_is_not_given_has_its_default(caller: Caller, agent: Agent) -> None:
    """A message alone: text, streaming, no iterations limit, 300 s until the deadline."""
    await caller.accepted()
    task = await agent.take()
    assert (task["message_type"], task["stream"], task["max_iterations"]) == ("text", True, None)
    assert (task["user_info"], task["metadata"]) == ({}, {})
    seconds = (moment(task["deadline"]) - moment(task["created_at"])).total_seconds()
    assert 299 <= seconds <= 301


async def test_stream_false_reaches_the_agent(caller: Caller, agent: Agent) -> None:
    """`stream` is passed on."""
    await caller.accepted(stream=False)
    assert (await agent.take())["stream"] is False


async def test_tasks_are_taken_from_the_right_in_order(caller: Caller, agent: Agent) -> None:
    """The service pushes on the left: whoever takes from the right gets the oldest first."""
    sent = [(await caller.accepted(str(number)))["task_id"] for number in range(3)]
    assert [(await agent.take())["task_id"] for _ in range(3)] == sent


async def test_longest_message(caller: Caller, agent: Agent) -> None:
    """32 000 characters pass, however many bytes they are."""
    await caller.accepted("ñ" * 32_000)
    assert len((await agent.take())["message"]) == 32_000


@pytest.mark.parametrize("turn_policy", [None, *TURN_POLICIES])
async def test_each_turn_policy_may_be_named(caller: Caller, agent: Agent, turn_policy: str | None) -> None:
    """Where nothing else is under way, each of them lets the message go at once."""
    sent = await caller.accepted(turn_policy=turn_policy)
    assert (await agent.take())["task_id"] == sent["task_id"]


async def test_an_id_with_its_prefix_is_the_same_agent(caller: Caller, redis_client: Any) -> None:
    """`agent-x` and `x` are one agent: same context, same queue (contract §1)."""
    short = caller.tenant.agent.removeprefix("agent-")
    plain = await caller.accepted(headers={"X-Agent-ID": short})
    whole = await caller.accepted(headers={"X-Agent-ID": caller.tenant.agent})
    assert plain["context_id"] == whole["context_id"] == caller.tenant.agent
    assert plain["queue"] == whole["queue"]
    agent = Agent(redis_client, caller.tenant)
    assert (await agent.take())["execution_context"]["agents"] == [caller.tenant.agent]


async def test_a_workflow_is_named_by_the_agent_header(
    caller: Caller, redis_client: Any, new_context: NewContext
) -> None:
    """`X-Context-Type: workflow`: `X-Agent-ID` names the workflow, the context is `workflow-<id>`."""
    workflow = await new_context(caller.tenant, "workflow")
    headers = {"X-Context-Type": "workflow", "X-Agent-ID": workflow.removeprefix("workflow-")}
    sent = await caller.accepted(headers=headers)
    assert sent["context_id"] == workflow
    assert sent["queue"] == f"execution:{workflow}:professional"
    context = (await Agent(redis_client, caller.tenant, workflow).take())["execution_context"]
    assert (context["context_id"], context["context_type"]) == (workflow, "workflow")


async def test_a_collection_is_named_by_its_own_header(
    caller: Caller, redis_client: Any, new_context: NewContext
) -> None:
    """`X-Context-Type: collection` runs in `collection-<id>`; the agent stays the agent."""
    collection = await new_context(caller.tenant, "collection")
    sent = await caller.accepted(headers={"X-Context-Type": "collection", "X-Collection-ID": collection})
    assert sent["context_id"] == collection
    assert sent["queue"] == f"execution:{collection}:professional"
    context = (await Agent(redis_client, caller.tenant, collection).take())["execution_context"]
    assert (context["context_id"], context["context_type"]) == (collection, "collection")
    assert context["primary_agent_id"] == caller.tenant.agent
    assert context["collections"] == [collection]


async def test_a_collection_may_go_with_any_context(
    caller: Caller, agent: Agent, new_context: NewContext
) -> None:
    """`collections` holds `X-Collection-ID` whenever it was given."""
    collection = await new_context(caller.tenant, "collection")
    sent = await caller.accepted(headers={"X-Collection-ID": collection})
    assert sent["context_id"] == caller.tenant.agent
    assert (await agent.take())["execution_context"]["collections"] == [collection]


async def test_one_session_id_under_two_tenants_is_two_sessions(
    caller: Caller, new_tenant: Any, redis_client: Any
) -> None:
    """The key of a session is (tenant, session): each has its own log, from its own start."""
    other = Caller(caller.http, await new_tenant(), caller.session_id)
    for _ in range(2):
        await caller.accepted()
    first = await other.accepted()
    assert re.fullmatch(r"[^:]+:0-\d+", first["position"])
    view = (await other.get(f"/api/chat/sessions/{other.session_id}")).json()
    assert [task["task_id"] for task in view["tasks"]] == [first["task_id"]]


async def test_many_at_once_all_reach_the_queue(tenant: Tenant, caller: Caller, redis_client: Any) -> None:
    """Each of 40 concurrent sends gets its own task, and each task is on the queue once."""
    sent = await asyncio.gather(*(caller.accepted() for _ in range(40)))
    agent = Agent(redis_client, tenant)
    taken = [(await agent.take())["task_id"] for _ in range(40)]
    assert sorted(taken) == sorted(body["task_id"] for body in sent)
    assert await redis_client.llen(agent.queue) == 0
