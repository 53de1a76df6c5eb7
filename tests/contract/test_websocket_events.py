"""The frames of a conversation, member by member (contract §4, §5)."""

import json
from typing import Any

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.exchange import asked, push, say, settle, text_of
from tests.contract.socket_client import Frame, offset_of, watch
from tests.servers import OrchestratorServer

ENVELOPE = {"type", "data", "timestamp", "session_id", "tenant_id", "task_id", "position"}


async def test_a_conversation_frame_by_frame(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """queued, running, chunk, response: each with exactly the contract's members, one offset apart."""
    async with watch(service, caller) as socket:
        accepted, task = await asked(caller, agent, message="Hello")
        await agent.report(task, "running")
        await say(agent, task, ["Hi"])
        await agent.complete(task, "Hi", execution_time=3.456, tokens_used={"total": 209})
        await socket.ending(task["task_id"])

    queued, running, chunk, response = socket.events
    for number, frame in enumerate(socket.events, 1):
        assert frame.keys() == ENVELOPE
        assert frame["task_id"] == task["task_id"]
        assert offset_of(frame["position"]) == offset_of(accepted["position"]) + number
    assert queued["type"] == "task_update"
    assert (queued["data"]["status"], queued["data"]["attempt"]) == ("queued", 1)
    assert running["type"] == "task_update"
    assert (running["data"]["status"], running["data"]["attempt"]) == ("running", 1)
    assert (chunk["type"], chunk["data"]) == (
        "agent_chunk",
        {"delta": "Hi", "seq": 0, "seq_from": 0, "attempt": 1},
    )
    assert response["type"] == "agent_response"
    assert response["data"] == {
        "response": "Hi",
        "sources": [],
        "agent_info": {},
        "status": "completed",
        "execution_time": 3.456,
        "tokens_used": {"total": 209},
    }


async def test_the_sample_callback(
    service: OrchestratorServer, caller: Caller, agent: Agent, redis_client: Any
) -> None:
    """The contract's sample, pushed as `redis-cli LPUSH` would, arrives as the contract's frame."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        sample = (
            '{"action_type": "execution.callback", "task_id": "%s", "status": "completed",\n'
            ' "result": {"response": "…", "sources": [], "agent_info": {}}, '
            '"execution_time": 3.456, "tokens_used": {"total": 209}}'
        )
        await redis_client.lpush(caller.tenant.callbacks, sample % task["task_id"])
        frame = await socket.until("agent_response", task=task["task_id"])

    assert frame == {
        "type": "agent_response",
        "data": {
            "response": "…",
            "sources": [],
            "agent_info": {},
            "status": "completed",
            "execution_time": 3.456,
            "tokens_used": {"total": 209},
        },
        "timestamp": frame["timestamp"],
        "session_id": caller.session_id,
        "tenant_id": caller.tenant.id,
        "task_id": task["task_id"],
        "position": frame["position"],
    }


async def test_the_first_callback_makes_it_running(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Whatever comes first and is no ending: the task is `running`, once, and the callback is shown too."""
    async with watch(service, caller) as socket:
        _, streamed = await asked(caller, agent)
        await say(agent, streamed, ["a"])
        await agent.complete(streamed)
        await socket.ending(streamed["task_id"])
        _, told = await asked(caller, agent)
        await agent.report(told, "progress", result={"step": 1})
        await agent.complete(told)
        await socket.ending(told["task_id"])

    assert kinds(socket.events, streamed) == ["queued", "running", "agent_chunk", "agent_response"]
    assert kinds(socket.events, told) == ["queued", "running", "progress", "agent_response"]


def kinds(frames: list[Frame], task: dict[str, Any]) -> list[str]:
    """The task's frames: the status of an update, the type of anything else."""
    own = [frame for frame in frames if frame["task_id"] == task["task_id"]]
    return [f["data"]["status"] if f["type"] == "task_update" else f["type"] for f in own]


async def test_an_answer_may_be_all_there_is(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """A task may end without ever having been `running`."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await agent.complete(task)
        await socket.ending(task["task_id"])
    assert kinds(socket.events, task) == ["queued", "agent_response"]


async def test_progress_carries_its_detail(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`progress` is a `task_update` whose `detail` is the callback's `result`."""
    detail = {"step": "search", "found": [1, {"deep": None}], "ratio": 0.5, "note": "größer – 日本 🚀"}
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await agent.report(task, "running")
        await agent.report(task, "progress", result=detail, attempt=1)
        frame = await socket.until("task_update", status="progress")
    assert frame["data"]["detail"] == detail
    assert frame["data"]["attempt"] == 1


async def test_without_stream_chunks_are_recorded(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """With `stream: false` no chunk is sent; the answer is still made of them."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent, stream=False)
        assert task["stream"] is False
        await say(agent, task, ["one ", "two"])
        await agent.report(task, "completed", result={})
        frame = await socket.ending(task["task_id"])
    assert kinds(socket.events, task) == ["queued", "running", "agent_response"]
    assert frame["data"]["response"] == "one two"
    assert (await caller.ledger(task["task_id"]))["timeline"]["first_chunk_at"]


async def test_connecting_later_misses_nothing(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """POST first, connect with the position of the 202: everything of the task is there."""
    accepted, task = await asked(caller, agent)
    await agent.report(task, "running")
    await say(agent, task, ["a", "b"])
    await settle(Caller(caller.http, caller.tenant), agent)
    async with watch(service, caller, accepted["position"]) as socket:
        assert socket.ack["recovered"]
        await socket.caught_up()
        assert kinds(socket.events, task) == ["queued", "running", "agent_chunk"]
        assert text_of(socket.events, task["task_id"]) == "ab"
        await agent.complete(task)
        await socket.ending(task["task_id"])


async def test_two_sockets_get_the_same(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """Every socket of a session gets the same events, to the byte."""
    async with watch(service, caller) as first, watch(service, caller) as second:
        _, task = await asked(caller, agent)
        await agent.report(task, "progress", result={"step": 1})
        await agent.complete(task)
        await first.ending(task["task_id"])
        await second.ending(task["task_id"])
    assert first.events == second.events


@pytest.mark.parametrize("kind", ["another session", "another tenant"])
async def test_others_get_nothing(
    service: OrchestratorServer, caller: Caller, agent: Agent, new_tenant: Any, redis_client: Any, kind: str
) -> None:
    """Events reach their own session only, even where another tenant has a session of the same name."""
    tenant = caller.tenant if kind == "another session" else await new_tenant()
    other = Caller(caller.http, tenant, None if kind == "another session" else caller.session_id)
    async with watch(service, other) as elsewhere:
        _, task = await asked(caller, agent)
        await say(agent, task, ["secret"])
        await settle(caller, agent)
        _, own = await asked(other, Agent(redis_client, tenant))
        await elsewhere.until("task_update", task=own["task_id"], status="queued")
    assert [frame["task_id"] for frame in elsewhere.events] == [own["task_id"]]


async def test_the_session_is_the_tasks_own(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """A callback that claims another session or tenant goes to the task's own."""
    other = Caller(caller.http, caller.tenant)
    async with watch(service, caller) as own, watch(service, other) as claimed:
        _, task = await asked(caller, agent)
        _, theirs = await asked(other, agent)
        claim = {"session_id": other.session_id, "tenant_id": "someone"}
        await agent.complete(task, "for me", **claim)
        await agent.complete(theirs, "for them")
        frame = await own.ending(task["task_id"])
        await claimed.ending(theirs["task_id"])
    assert frame["data"]["response"] == "for me"
    assert {frame["task_id"] for frame in claimed.events} == {theirs["task_id"]}


async def test_the_timestamp_is_the_events_own(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """On replay a frame is the one that was sent live, `timestamp` included."""
    async with watch(service, caller) as live:
        accepted, task = await asked(caller, agent)
        await agent.report(task, "progress", result={"step": 1})
        await agent.complete(task)
        await live.ending(task["task_id"])
    async with watch(service, caller, accepted["position"]) as later:
        assert await later.caught_up() == live.events


async def test_callbacks_come_in_the_order_of_the_queue(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Unnumbered pieces, pushed in bursts, arrive in their order and each exactly once."""
    pieces = [f"{number} " for number in range(300)]
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        for start in range(0, 300, 50):
            burst = [
                json.dumps({"task_id": task["task_id"], "status": "streaming", "result": {"delta": piece}})
                for piece in pieces[start : start + 50]
            ]
            await agent.redis.lpush(task["callback_queue"], *burst)
        await agent.report(task, "completed", result={})
        frame = await socket.ending(task["task_id"])
    assert text_of(socket.events, task["task_id"]) == "".join(pieces)
    assert frame["data"]["response"] == "".join(pieces)


async def test_a_bare_callback_is_enough(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`action_type`, `seq` and `attempt` are optional, JSON null is as good as nothing."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        name = json.dumps(task["task_id"])
        nulls = '"action_type": null, "seq": null, "attempt": null'
        await push(agent, task, f'{{"task_id": {name}, "status": "streaming", "result": {{"delta": "a"}}}}')
        await push(
            agent, task, f'{{"task_id": {name}, "status": "streaming", {nulls}, "result": {{"delta": "b"}}}}'
        )
        await push(agent, task, f'{{"task_id": {name}, "status": "completed"}}')
        frame = await socket.ending(task["task_id"])
    assert frame["data"]["response"] == "ab"
