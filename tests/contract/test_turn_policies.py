"""Turn policies as a frontend and a plain agent see them (contract §3)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contract.client import Agent, Caller, problem, unique
from tests.contract.conftest import NewContext
from tests.contract.exchange import asked, ended
from tests.contract.socket_client import Socket, watch
from tests.servers import OrchestratorServer, wait_until

WAITING = {"status": "queued", "attempt": 1, "waiting_for": "an earlier message of this session"}
SUPERSEDED = {
    "status": "cancelled",
    "code": "superseded",
    "message": "A newer message took the place of this one.",
}


def merged(into: str) -> dict[str, Any]:
    """The ending of a message that another task carries on."""
    return {
        "status": "cancelled",
        "code": "merged",
        "message": "The message was merged into another one.",
        "into": into,
    }


@pytest.fixture
async def socket(service: OrchestratorServer, caller: Caller) -> AsyncIterator[Socket]:
    """A viewer of the session."""
    async with watch(service, caller) as opened:
        yield opened


async def running(caller: Caller, agent: Agent) -> dict[str, Any]:
    """A task that the agent has begun."""
    _, task = await asked(caller, agent)
    await agent.report(task, "running")

    async def begun() -> bool:
        return await caller.status(task["task_id"]) == "running"

    await wait_until(begun)
    return task


async def test_queue(caller: Caller, agent: Agent, socket: Socket) -> None:
    """Messages go one after the other, in order; each viewer is told what a message waits for, and when it goes."""
    first = await running(caller, agent)
    sent = [(await caller.accepted(turn_policy="queue"))["task_id"] for _ in range(3)]
    assert await agent.redis.llen(agent.queue) == 0
    assert (await caller.ledger(sent[0]))["queue_position"] is None
    for task_id in sent:
        assert (await socket.until("task_update", task=task_id, status="queued"))["data"].keys() == {
            "status",
            "attempt",
        }
        assert (await socket.until("task_update", task=task_id))["data"] == WAITING
    task = first
    for task_id in sent:
        await agent.complete(task)
        update = await socket.until("task_update", task=task_id)
        assert update["data"] == {"status": "queued", "attempt": 1}
        task = await agent.take()
        assert task["task_id"] == task_id
    await agent.complete(task)
    assert (await socket.ending(sent[-1]))["type"] == "agent_response"


async def test_queue_after_a_cancellation(caller: Caller, agent: Agent) -> None:
    """A running task that is cancelled lets the next one go; so does a deadline."""
    task = await running(caller, agent)
    second = (await caller.accepted(turn_policy="queue", timeout=1))["task_id"]
    third = (await caller.accepted(turn_policy="queue"))["task_id"]
    await caller.cancel(task["task_id"])
    assert (await agent.take())["task_id"] == second
    assert (await ended(caller, second))["code"] == "deadline"
    assert (await agent.take())["task_id"] == third


async def test_cancel_what_waits(caller: Caller, agent: Agent) -> None:
    """A held message can be cancelled, and those behind it move up."""
    task = await running(caller, agent)
    second, third = [(await caller.accepted(turn_policy="queue"))["task_id"] for _ in range(2)]
    assert (await caller.cancel(second)).json()["status"] == "cancelled"
    await agent.complete(task)
    assert (await agent.take())["task_id"] == third


async def test_reject(caller: Caller, agent: Agent, redis_client: Any) -> None:
    """409 while anything of the session is open; it costs nothing, and afterwards the same message passes."""
    task = await running(caller, agent)
    left = (await caller.accepted())["task_id"]
    refusals = [await caller.send(turn_policy="reject") for _ in range(2)]
    for answer in refusals:
        problem(answer, 409, "session_busy")
    assert (
        refusals[0].headers["RateLimit"].partition(",")[0]
        == refusals[1].headers["RateLimit"].partition(",")[0]
    )
    assert await redis_client.llen(agent.queue) == 1
    await agent.complete(task)
    await caller.cancel(left)
    await ended(caller, task["task_id"])
    await caller.accepted(turn_policy="reject")


async def test_interrupt(caller: Caller, agent: Agent, socket: Socket, redis_client: Any) -> None:
    """What runs and what waits ends as superseded, before the answer; the agent learns of it by its cancel key."""
    task = await running(caller, agent)
    waiting = (await caller.accepted())["task_id"]
    newer = (await caller.accepted(turn_policy="interrupt"))["task_id"]
    ledger = await caller.ledger(task["task_id"])
    assert (ledger["status"], ledger["code"]) == ("cancelled", "superseded")
    for task_id in (task["task_id"], waiting):
        assert (await socket.ending(task_id))["data"] == SUPERSEDED
    assert await redis_client.exists(task["cancel_key"])
    assert (await agent.take())["task_id"] == newer
    await agent.complete(task, "too late")
    assert await caller.status(task["task_id"]) == "cancelled"


async def test_latest(caller: Caller, agent: Agent, socket: Socket) -> None:
    """Of what waits only the newest stays; what runs goes on."""
    task = await running(caller, agent)
    sent = [(await caller.accepted(f"{n}", turn_policy="latest"))["task_id"] for n in range(3)]
    for task_id in sent[:2]:
        assert (await socket.ending(task_id))["data"] == SUPERSEDED
    await agent.complete(task)
    assert (await agent.take())["message"] == "2"


async def test_merge(caller: Caller, agent: Agent, socket: Socket) -> None:
    """Waiting messages become one; each ending names the task that carries it on, live, on replay and in the ledger."""
    task = await running(caller, agent)
    one, two, three = [
        (await caller.accepted(text, turn_policy="merge"))["task_id"] for text in ("one", "two", "three")
    ]
    assert (await socket.ending(one))["data"] == merged(two)
    assert (await socket.ending(two))["data"] == merged(three)
    await agent.complete(task)
    joined = await agent.take()
    assert (joined["task_id"], joined["message"]) == (three, "one\n\ntwo\n\nthree")
    error = (await caller.ledger(one))["error"]
    assert error == {name: value for name, value in merged(two).items() if name != "status"}


async def test_merged_on_replay(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """A client that comes later gets the same frames as one that was there."""
    async with watch(service, caller) as live:
        await running(caller, agent)
        first = (await caller.accepted("one", turn_policy="merge"))["task_id"]
        second = (await caller.accepted("two", turn_policy="merge"))["task_id"]
        await live.until("task_update", task=second, status="queued")
        await live.until("task_update", task=second)
        async with watch(service, caller, "earliest") as later:
            assert await later.caught_up() == live.events
    assert first in {frame["task_id"] for frame in live.events if frame["type"] == "error"}


async def test_steer(caller: Caller, agent: Agent, socket: Socket, redis_client: Any) -> None:
    """The running task's inbox has the message; what the agent says it took ends as merged into its task."""
    task = await running(caller, agent)
    taken, left = [
        (await caller.accepted(text, turn_policy="steer"))["task_id"] for text in ("to it", "later")
    ]
    inbox = f"{{{task['callback_queue']}}}:inbox:{task['task_id']}"
    assert len(await redis_client.lrange(inbox, 0, -1)) == 2
    await agent.report(task, "progress", result={"note": "I see"}, took=[taken])
    assert (await socket.ending(taken))["data"] == merged(task["task_id"])
    await agent.complete(task)
    assert (await agent.take())["task_id"] == left


async def test_several_agents(caller: Caller, redis_client: Any, new_context: NewContext) -> None:
    """One session's turns are its own, whichever agents it talks to."""
    other = await new_context(caller.tenant, "agent")
    mine, theirs = Agent(redis_client, caller.tenant), Agent(redis_client, caller.tenant, other)
    task = await running(caller, mine)
    second = (await caller.accepted(headers={"X-Agent-ID": other}, turn_policy="queue"))["task_id"]
    third = (await caller.accepted(turn_policy="queue"))["task_id"]
    await mine.complete(task)
    task = await theirs.take()
    assert task["task_id"] == second
    await theirs.complete(task)
    assert (await mine.take())["task_id"] == third


async def test_two_at_once(caller: Caller, agent: Agent) -> None:
    """Of messages that are sent together by `queue`, one goes and the others wait."""
    sent = await asyncio.gather(*(caller.accepted(turn_policy="queue") for _ in range(8)))
    taken: list[str] = []
    for _ in sent:
        task = await agent.take()
        assert await agent.redis.llen(agent.queue) == 0
        taken.append(task["task_id"])
        await agent.complete(task)
    assert sorted(taken) == sorted(answer["task_id"] for answer in sent)


async def test_repeated_with_a_key(caller: Caller, agent: Agent) -> None:
    """The same Idempotency-Key gives the first answer, and interrupts nothing a second time."""
    key = {"Idempotency-Key": unique("k")}
    first = await caller.accepted(headers=key, turn_policy="interrupt")
    newer = await caller.accepted()
    assert await caller.accepted(headers=key, turn_policy="interrupt") == first
    assert await caller.status(newer["task_id"]) in {"accepted", "queued"}
    problem(await caller.send(headers=key, turn_policy="queue"), 422, "idempotency_conflict")
