"""A client chooses event types and can still prove that it missed nothing (contract §4)."""

from typing import Any

from tests.contract.client import Agent, Caller
from tests.contract.exchange import asked, say, text_of
from tests.contract.socket_client import offset_of, watch
from tests.servers import OrchestratorServer, wait_until


async def conversation(caller: Caller, agent: Agent, *deltas: str) -> dict[str, Any]:
    """A task from its message to its answer: queued, running, chunks, progress, response."""
    _, task = await asked(caller, agent)
    await agent.report(task, "running")
    await say(agent, task, deltas)
    await agent.report(task, "progress", result={"step": 1})
    await agent.complete(task)
    return task


async def test_subscribe_by_type(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`agent_*`: only such frames come, each covering what was left out before it."""
    async with watch(service, caller) as socket:
        answer = await socket.answer({"type": "subscribe", "events": ["agent_*"]})
        assert answer["type"] == "subscribed"
        task = await conversation(caller, agent, "a", "b")
        last = await socket.ending(task["task_id"])
    assert {frame["type"] for frame in socket.events} == {"agent_chunk", "agent_response"}
    assert text_of(socket.events, task["task_id"]) == "ab"
    assert socket.events[0]["covers"] >= 3
    # queued, running, two chunks, progress, response: the socket has checked each step of the sum.
    assert offset_of(last["position"]) == offset_of(socket.ack["position"]) + 6


async def test_unsubscribe_by_type(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """What is unsubscribed is covered by the next frame; everything else still comes."""
    async with watch(service, caller) as socket:
        answer = await socket.answer({"type": "unsubscribe", "events": ["agent_chunk"]})
        assert answer["type"] == "unsubscribed"
        task = await conversation(caller, agent, "a", "b")
        await socket.ending(task["task_id"])
    types = [frame["type"] for frame in socket.events]
    assert types == ["task_update", "task_update", "task_update", "agent_response"]
    assert [frame.get("covers", 1) for frame in socket.events] == [1, 1, 3, 1]


async def test_a_filter_reaches_the_backlog_of_the_next_socket(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Nothing is forgotten by a filter: a socket that resumes without one gets what was left out."""
    async with watch(service, caller) as socket:
        await socket.answer({"type": "subscribe", "events": ["agent_response"]})
        task = await conversation(caller, agent, "a")
        await socket.ending(task["task_id"])
        assert len(socket.events) == 1
    async with watch(service, caller, socket.ack["position"]) as later:
        types = [frame["type"] for frame in await later.caught_up()]
    assert types == ["task_update", "task_update", "task_update", "agent_response"]


async def test_pong_tells_how_far_a_filter_has_come(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """A client that filters learns the position from `pong`, and can resume from there."""
    async with watch(service, caller) as socket, watch(service, caller) as viewer:
        await socket.answer({"type": "subscribe", "events": ["error"]})
        task = await conversation(caller, agent, "a")
        await viewer.ending(task["task_id"])

        async def has_come_as_far() -> bool:
            return (await socket.answer({"type": "ping"}))["data"]["position"] == viewer.last

        await wait_until(has_come_as_far)
        assert socket.events == []
    async with watch(service, caller, viewer.last) as later:
        assert later.ack["recovered"]
        assert await later.caught_up() == []


async def test_everything_again(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """`*` is every event of the own session, as it is without a subscription."""
    async with watch(service, caller) as socket:
        await socket.answer({"type": "unsubscribe", "events": ["*"]})
        await socket.answer({"type": "subscribe", "events": ["*"]})
        task = await conversation(caller, agent, "a")
        await socket.ending(task["task_id"])
    assert [frame.get("covers", 1) for frame in socket.events] == [1] * 5


async def test_topics_do_not_exist_yet(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """Topics are refused with `not_supported`, and never carry another session's events."""
    other = Caller(caller.http, caller.tenant)
    async with watch(service, caller) as socket:
        topics = [f"session:{other.session_id}", "*"]
        answer = await socket.answer({"type": "subscribe", "events": ["*"], "topics": topics})
        assert (answer["type"], answer["data"]["code"]) == ("error", "not_supported")
        await conversation(other, agent, "secret")
        task = await conversation(caller, agent, "a")
        await socket.ending(task["task_id"])
    assert {frame["task_id"] for frame in socket.events} == {task["task_id"]}
