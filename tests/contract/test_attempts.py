"""Attempts of agents that use plain lists: supervision that they ask for, and another try (contract §5)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.exchange import asked, callback, ended, push, say
from tests.contract.socket_client import Socket, watch
from tests.servers import OrchestratorServer, wait_until


@pytest.fixture
async def viewer(service: OrchestratorServer, caller: Caller) -> AsyncIterator[Socket]:
    """A browser that follows the session."""
    async with watch(service, caller) as opened:
        yield opened


async def retrying(viewer: Socket, task_id: str) -> dict[str, Any]:
    """The data of the update that tells of a further attempt."""
    return (await viewer.until("task_update", task=task_id, status="retrying"))["data"]


async def test_silence_starts_the_next_attempt(caller: Caller, agent: Agent, viewer: Socket) -> None:
    """An agent that asked for a lease and falls silent loses the task: the next one finds it, with attempt 2."""
    _, task = await asked(caller, agent)
    await agent.report(task, "running", lease=1)
    await say(agent, task, ["old"])
    assert await retrying(viewer, task["task_id"]) == {
        "status": "retrying", "attempt": 2, "detail": {"reason": "worker_lost"},
    }  # fmt: skip

    again = await agent.take()
    assert again == task | {"attempt": 2}
    await agent.complete(task, "late", attempt=1)
    await say(agent, again, ["new"])
    await agent.report(again, "completed", attempt=2)
    ending = await viewer.ending(task["task_id"])
    assert (ending["type"], ending["data"]["response"]) == ("agent_response", "new")
    shown = [frame["data"] for frame in viewer.events if frame["type"] == "agent_chunk"]
    assert [(data["attempt"], data["delta"]) for data in shown] == [(1, "old"), (2, "new")]
    assert (await caller.ledger(task["task_id"]))["attempt"] == 2


async def has_three(agent: Agent) -> bool:
    """Whether three tasks wait on the agent's queue."""
    return await agent.redis.llen(agent.queue) == 3


async def test_retried_first(caller: Caller, agent: Agent, viewer: Socket) -> None:
    """A task that lost its worker comes before those that were sent after it."""
    _, task = await asked(caller, agent)
    later = [(await caller.accepted())["task_id"] for _ in range(2)]
    await agent.report(task, "running", lease=1)
    await retrying(viewer, task["task_id"])
    await wait_until(lambda: has_three(agent))
    assert [(await agent.take())["task_id"] for _ in range(3)] == [task["task_id"], *later]


async def test_asked_for_another_try(caller: Caller, agent: Agent, viewer: Socket) -> None:
    """`failed` with `retry` shows why and comes again; without attempts left it is the ending."""
    _, task = await asked(caller, agent)
    failure = {"error": {"type": "Busy", "message": "The model is busy.", "code": "busy"}}
    await agent.report(task, "failed", result=failure, retry=True)
    assert await retrying(viewer, task["task_id"]) == {"status": "retrying", "attempt": 2, "detail": failure}
    ledger = await caller.ledger(task["task_id"])
    assert (ledger["status"], ledger["attempt"]) == ("retrying", 2)

    for attempt in (2, 3):
        again = await agent.take()
        assert again["attempt"] == attempt
        await agent.report(again, "failed", result=failure, retry=True)
    ending = await viewer.ending(task["task_id"])
    assert ending["data"] == {"status": "failed", "code": "busy", "message": "The model is busy."}


async def test_cancelled_between_attempts(caller: Caller, agent: Agent, viewer: Socket) -> None:
    """A task that waits for its next attempt is cancelled like any other, and leaves its queue."""
    _, task = await asked(caller, agent)
    await agent.report(task, "running", lease=1)
    await retrying(viewer, task["task_id"])
    await caller.cancel(task["task_id"])
    assert (await viewer.ending(task["task_id"]))["data"]["code"] == "cancelled"
    assert (await ended(caller, task["task_id"]))["status"] == "cancelled"
    following, found = await asked(caller, agent)
    assert found["task_id"] == following["task_id"]


async def test_lease_in_a_large_callback(caller: Caller, agent: Agent, viewer: Socket) -> None:
    """A callback that is read apart for its size asks for a lease as well."""
    _, task = await asked(caller, agent)
    large = callback(task, "running", lease=1, result={"pad": "x" * 70_000})
    await push(agent, task, json.dumps(large))
    assert (await retrying(viewer, task["task_id"]))["attempt"] == 2
