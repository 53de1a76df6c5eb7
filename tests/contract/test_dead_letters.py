"""Callbacks that are nobody's business: set aside with their reason, and in nobody's way (contract §5)."""

import json
from typing import Any

from tests.contract.client import Agent, Caller, unique
from tests.contract.conftest import Command
from tests.contract.exchange import asked, callback, dead_letters, ended, push, settle
from tests.contract.socket_client import watch
from tests.servers import OrchestratorServer

NOBODY = f"task-{'0' * 32}"


def of(task: dict[str, Any], **changes: Any) -> str:
    """A callback about the task with some members changed; `...` takes one out."""
    members = callback(task, "completed", result={"response": "x"}) | changes
    return json.dumps({name: value for name, value in members.items() if value is not ...})


NO_OBJECTS = [
    b"",
    b" ",
    b"not json",
    b"{",
    b'{"task_id":',
    b"[]",
    b"[{}]",
    b'"text"',
    b"7",
    b"null",
    b"true",
    b"\x00\x01\x02",
    b"\xff\xfe",
    b"\x83\xa7task_id",
    b"[" * 2000,
]

# What is wrong with the callback, and what its reason has to name.
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"task_id": NOBODY}, "task"),
    ({"task_id": ...}, "task"),
    ({"task_id": None}, "task"),
    ({"task_id": 7}, "task"),
    ({"task_id": ""}, "task"),
    ({"task_id": "task-{x}:y"}, "task"),
    ({"task_id": "task-" + "x" * 10_000}, "task"),
    ({"status": "finished"}, "status"),
    ({"status": ...}, "status"),
    ({"status": None}, "status"),
    ({"status": 1}, "status"),
    ({"status": "COMPLETED"}, "status"),
    ({"status": "accepted"}, "status"),
    ({"status": "queued"}, "status"),
    ({"action_type": "execution.agent_run"}, "action"),
    ({"action_type": 5}, "action"),
    ({"action_type": ""}, "action"),
    ({"status": "streaming", "result": {}}, "delta"),
    ({"status": "streaming", "result": ...}, "delta"),
    ({"status": "streaming", "result": None}, "delta"),
    ({"status": "streaming", "result": "x"}, "delta"),
    ({"status": "streaming", "result": {"delta": None}}, "delta"),
    ({"status": "streaming", "result": {"delta": 5}}, "delta"),
    ({"status": "streaming", "result": {"delta": ["x"]}}, "delta"),
]


async def test_no_json_object(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent
) -> None:
    """What is no JSON object is a dead letter; the callbacks around it arrive."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        for number, text in enumerate(NO_OBJECTS):
            await agent.report(task, "progress", result={"number": number})
            await push(agent, task, text)
        await agent.complete(task, "fine")
        frame = await socket.ending(task["task_id"])
    assert frame["data"]["response"] == "fine"
    shown = [f["data"]["detail"]["number"] for f in socket.events if "detail" in f["data"]]
    assert shown == list(range(len(NO_OBJECTS)))
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert len(letters) == len(NO_OBJECTS)
    assert {letter["reason"] for letter in letters} == {letters[0]["reason"]}


async def test_each_reason(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent
) -> None:
    """An unknown task, status or `action_type`, a piece without text: the reason names what is wrong."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        for changes, _ in FAULTS:
            await push(agent, task, of(task, **changes))
        await agent.complete(task, "fine")
        await socket.ending(task["task_id"])
    assert [frame["type"] for frame in socket.events] == ["task_update", "agent_response"]
    letters = await dead_letters(orchestrator, caller.tenant.id)
    seen = [(changes, letter["reason"]) for (changes, _), letter in zip(FAULTS, letters, strict=True)]
    assert [
        (changes, reason)
        for (changes, reason), (_, word) in zip(seen, FAULTS, strict=True)
        if word not in reason
    ] == []


async def test_another_tenants_task(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent, new_tenant: Any
) -> None:
    """On its own queue a tenant reaches its own tasks only, whatever the callback claims."""
    other = Caller(caller.http, await new_tenant())
    accepted = await other.accepted()
    async with watch(service, other) as socket:
        for claim in ({}, {"tenant_id": other.tenant.id, "session_id": other.session_id}):
            await push(agent, {"callback_queue": caller.tenant.callbacks}, of(accepted, **claim))
        await settle(caller, agent)
        theirs = Agent(agent.redis, other.tenant)
        await theirs.complete(await theirs.take(), "right")
        frame = await socket.ending(accepted["task_id"])
    assert frame["data"]["response"] == "right"
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert ["task" in letter["reason"] for letter in letters] == [True, True]
    assert await dead_letters(orchestrator, other.tenant.id) == []


async def test_reasons_tell_faults_apart(orchestrator: Command, caller: Caller, agent: Agent) -> None:
    """Each kind of fault has a reason of its own."""
    _, task = await asked(caller, agent)
    await push(agent, task, "no json")
    await push(agent, task, of(task, task_id=NOBODY), of(task, status="x"), of(task, action_type="x"))
    await push(agent, task, of(task, status="streaming"), of(task, status="running", pad="x" * 1024**2))
    await agent.complete(task)
    await ended(caller, task["task_id"])
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert len({letter["reason"] for letter in letters}) == len(letters) == 6


async def test_a_thousand_are_kept(
    service: OrchestratorServer, orchestrator: Command, caller: Caller, agent: Agent
) -> None:
    """1 000 dead letters per tenant, the newest; the queue is emptied all the same."""
    queue = caller.tenant.callbacks
    for start in range(0, 1010, 101):
        await agent.redis.lpush(queue, *(f"rubbish {number}" for number in range(start, start + 101)))
    await push(agent, {"callback_queue": queue}, json.dumps({"task_id": NOBODY, "status": "completed"}))
    await settle(caller, agent)
    letters = await dead_letters(orchestrator, caller.tenant.id)
    assert len(letters) == 1000
    assert sum("task" in letter["reason"] for letter in letters) == 1
    assert await agent.redis.llen(queue) == 0


async def test_queues_of_nobody(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """Callbacks on queues that belong to no tenant, or to none that can be, stop nobody."""
    rubbish = json.dumps({"task_id": NOBODY, "status": "completed"})
    odd = (
        "orchestrator:{x}:callbacks",
        "orchestrator::callbacks",
        "orchestrator:a:b:callbacks",
        "orchestrator:x",
    )
    names = (f"orchestrator:{unique('ghost')}:callbacks", *odd)
    for name in names:
        await push(agent, {"callback_queue": name}, rubbish)
    await settle(caller, agent)
    for name in odd:
        await agent.redis.delete(name)
