"""Callbacks of every size up to the contract's bound, and beyond it (contract §5)."""

import json
from typing import Any

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.conftest import Command
from tests.contract.exchange import asked, callback, dead_letters, ended, push, say, settle, text_of
from tests.contract.socket_client import watch
from tests.servers import OrchestratorServer

KIB = 1024
MIB = 1024 * KIB


def sized(members: dict[str, Any], name: str, size: int) -> str:
    """The callback as JSON of exactly `size` bytes, filled up in `result.<name>`."""
    members = members | {"result": {name: ""}}
    members["result"][name] = "x" * (size - len(json.dumps(members)))
    text = json.dumps(members)
    assert len(text) == size
    return text


@pytest.mark.parametrize("size", [63 * KIB, 64 * KIB, 64 * KIB + 1, 100 * KIB, 700 * KIB, MIB])
async def test_large_endings(service: OrchestratorServer, caller: Caller, agent: Agent, size: int) -> None:
    """An answer of up to 1 MiB arrives whole: live, on resume, and in the ledger."""
    async with watch(service, caller) as live:
        accepted, task = await asked(caller, agent)
        text = sized(callback(task, "completed"), "response", size)
        await push(agent, task, text)
        frame = await live.ending(task["task_id"])
    response = json.loads(text)["result"]["response"]
    assert frame["data"]["response"] == response
    assert (await caller.ledger(task["task_id"]))["result"]["response"] == response
    async with watch(service, caller, accepted["position"]) as later:
        assert (await later.caught_up())[-1] == frame


@pytest.mark.parametrize("size", [64 * KIB, 64 * KIB + 1, 300 * KIB, MIB])
async def test_large_pieces(service: OrchestratorServer, caller: Caller, agent: Agent, size: int) -> None:
    """A large chunk or progress report keeps its place between small ones."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        large = sized(callback(task, "streaming", seq=1), "delta", size)
        detail = sized(callback(task, "progress"), "pad", size)
        await say(agent, task, ["<"])
        await push(agent, task, large)
        await say(agent, task, [">"], first=2)
        await push(agent, task, detail)
        await agent.report(task, "completed", result={"response": "Hi"})
        await socket.ending(task["task_id"])
    delta = json.loads(large)["result"]["delta"]
    assert text_of(socket.events, task["task_id"]) == f"<{delta}>"
    (progress,) = [frame for frame in socket.events if frame["data"].get("status") == "progress"]
    assert progress["data"]["detail"] == json.loads(detail)["result"]
    assert socket.events.index(progress) == len(socket.events) - 2


async def test_a_large_joined_answer(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """The joined chunks may be larger than any one callback."""
    pieces = [f"{number:>8}" + "x" * 50_000 for number in range(40)]
    accepted, task = await asked(caller, agent)
    await say(agent, task, pieces)
    await agent.report(task, "completed", result={})
    assert (await ended(caller, task["task_id"]))["result"]["response"] == "".join(pieces)
    async with watch(service, caller, accepted["position"]) as socket:
        frame = await socket.ending(task["task_id"])
    assert frame["data"]["response"] == "".join(pieces)


@pytest.mark.parametrize("status", ["completed", "failed"])
@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB])
async def test_an_ending_that_is_too_large(
    service: OrchestratorServer, caller: Caller, agent: Agent, status: str, size: int
) -> None:
    """Over 1 MiB the task ends as `failed`, code `result_too_large`."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await push(agent, task, sized(callback(task, status), "response", size))
        frame = await socket.ending(task["task_id"])
    assert frame["type"] == "error"
    assert (frame["data"]["status"], frame["data"]["code"]) == ("failed", "result_too_large")
    ledger = await caller.ledger(task["task_id"])
    assert (ledger["status"], ledger["code"]) == ("failed", "result_too_large")


async def test_a_report_that_is_too_large(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent
) -> None:
    """What is over 1 MiB and no ending is a dead letter; the task goes on."""
    reports = ("running", "streaming", "progress")
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        for status in reports:
            await push(agent, task, sized(callback(task, status), "delta", MIB + 1))
        await agent.complete(task, "fine")
        frame = await socket.ending(task["task_id"])
    assert frame["data"]["response"] == "fine"
    assert len(socket.events) == 2
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert ["large" in letter["reason"] for letter in letters] == [True] * len(reports)


async def test_large_rubbish(
    orchestrator: Command, caller: Caller, agent: Agent, service: OrchestratorServer
) -> None:
    """Large, and no JSON or of no task: dead letters, and the queue moves on."""
    task = {"task_id": f"task-{'0' * 32}", "callback_queue": caller.tenant.callbacks}
    for size in (100 * KIB, 2 * MIB):
        await push(agent, task, "{" * size, "x" * size, b"\xff" * size)
        await push(agent, task, sized(callback(task, "completed"), "response", size))
    await settle(caller, agent)
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert len(letters) == 8
    assert all(letter["reason"] for letter in letters)


async def test_too_large_for_another_tenants_task(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent, new_tenant: Any
) -> None:
    """The ending over 1 MiB of another tenant's task ends nothing."""
    other = Caller(caller.http, await new_tenant())
    accepted = await other.accepted()
    await push(
        agent,
        {"callback_queue": caller.tenant.callbacks},
        sized(callback(accepted, "completed"), "response", MIB + 1),
    )
    await settle(caller, agent)
    assert await other.status(accepted["task_id"]) == "queued"
    assert len(await dead_letters(orchestrator, caller.tenant.id)) == 1
