"""How tasks end, and what viewers and the ledger see of it (contract §5)."""

import json
from typing import Any

import pytest
from tests.contract.client import Agent, Caller
from tests.contract.exchange import asked, callback, ended, push, say
from tests.contract.socket_client import Frame, watch
from tests.servers import OrchestratorServer

LEDGER = {
    "task_id", "status", "code", "attempt", "timeline", "queue", "queue_position",
    "execution_time", "tokens_used", "position",
}  # fmt: skip


async def finish(
    service: OrchestratorServer, caller: Caller, agent: Agent, status: str, **members: Any
) -> tuple[Frame, dict[str, Any]]:
    """Ends a task with such a callback: the frame that a viewer gets, and the ledger."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await agent.report(task, "running")
        await agent.report(task, status, **members)
        frame = await socket.ending(task["task_id"])
    return frame, await caller.ledger(task["task_id"])


async def test_completed(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """The answer, in the frame and in the ledger."""
    result = {"response": "Hi", "sources": [{"url": "https://example.org"}], "agent_info": {"name": "echo"}}
    frame, ledger = await finish(
        service, caller, agent, "completed", result=result, execution_time=1.5, tokens_used={"total": 2}
    )
    assert frame["type"] == "agent_response"
    assert frame["data"] == result | {
        "status": "completed",
        "execution_time": 1.5,
        "tokens_used": {"total": 2},
    }
    assert LEDGER | {"result"} <= ledger.keys()
    assert "error" not in ledger or ledger["error"] is None
    assert (ledger["status"], ledger["attempt"]) == ("completed", 1)
    assert (ledger["execution_time"], ledger["tokens_used"]) == (1.5, {"total": 2})
    assert {name: ledger["result"][name] for name in result} == result
    assert ledger["position"] == frame["position"]
    assert ledger["queue"] == agent.queue
    timeline = ledger["timeline"]
    moments = [timeline[name] for name in ("accepted_at", "queued_at", "started_at", "ended_at")]
    assert moments == sorted(moments)


async def test_the_ledger_of_an_open_task(caller: Caller, agent: Agent) -> None:
    """Before the ending a ledger has every member too, and no outcome."""
    _, task = await asked(caller, agent)
    ledger = await caller.ledger(task["task_id"])
    assert ledger.keys() >= LEDGER
    assert (ledger["status"], ledger["position"], ledger["code"]) == ("queued", None, None)
    assert not ledger.get("result")
    assert not ledger.get("error")
    assert not ledger["timeline"].get("ended_at")


async def test_extra_members_of_the_result_are_kept(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Whatever an agent adds to `result` reaches the viewer, except a `status`."""
    result = {"response": "Hi", "status": "failed", "mood": {"x": [1]}, "position": 3, "type": "error"}
    frame, _ = await finish(service, caller, agent, "completed", result=result)
    assert frame["type"] == "agent_response"
    assert frame["data"] == {
        "response": "Hi",
        "sources": [],
        "agent_info": {},
        "status": "completed",
        "execution_time": None,
        "tokens_used": None,
        "mood": {"x": [1]},
        "position": 3,
        "type": "error",
    }


@pytest.mark.parametrize("result", [{"response": {"parts": [1]}}, {"response": ""}, {"response": 0}])
async def test_a_response_of_any_kind(
    service: OrchestratorServer, caller: Caller, agent: Agent, result: dict[str, Any]
) -> None:
    """`result.response` is passed on as it is, an empty one too."""
    frame, _ = await finish(service, caller, agent, "completed", result=result)
    assert frame["data"]["response"] == result["response"]


@pytest.mark.parametrize("members", [{}, {"result": {}}, {"result": None}, {"result": {"sources": [1]}}])
async def test_without_a_response(
    service: OrchestratorServer, caller: Caller, agent: Agent, members: dict[str, Any]
) -> None:
    """Where `result.response` is missing the response is the joined chunks, and null where there are none."""
    frame, ledger = await finish(service, caller, agent, "completed", **members)
    assert frame["data"]["response"] is None
    assert ledger["result"]["response"] is None
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await say(agent, task, ["grün ", "und ", "🚀"])
        await agent.report(task, "completed", **members)
        frame = await socket.ending(task["task_id"])
    assert frame["data"]["response"] == "grün und 🚀"
    assert (await caller.ledger(task["task_id"]))["result"]["response"] == "grün und 🚀"


async def test_a_response_wins_over_the_chunks(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """What the ending says is the answer, whatever was streamed."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await say(agent, task, ["draft"])
        await agent.complete(task, "final")
        frame = await socket.ending(task["task_id"])
    assert frame["data"]["response"] == "final"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"type": "ValueError", "message": "No such city", "code": "E42"}, "E42", "No such city"),
        ({"type": "ValueError", "message": "No such city"}, "agent_failed", "No such city"),
        ({"type": "ValueError", "message": "x", "code": None}, "agent_failed", "x"),
        ("No such city", "agent_failed", "No such city"),
        (None, "agent_failed", None),
        ({}, "agent_failed", None),
        ({"message": 5, "code": 7}, "agent_failed", None),
        (["odd"], "agent_failed", None),
    ],
)
async def test_failed(
    service: OrchestratorServer, caller: Caller, agent: Agent, error: object, code: str, message: str | None
) -> None:
    """`result.error` may be an object, a string or missing: `status`, `code` and `message` are there."""
    frame, ledger = await finish(service, caller, agent, "failed", result={"error": error})
    assert frame["type"] == "error"
    assert frame["data"].keys() == {"status", "code", "message"}
    assert (frame["data"]["status"], frame["data"]["code"]) == ("failed", code)
    assert isinstance(frame["data"]["message"], str)
    assert frame["data"]["message"]
    assert message in (None, frame["data"]["message"])
    assert (ledger["status"], ledger["code"]) == ("failed", code)
    assert ledger["error"]["message"] == frame["data"]["message"]


@pytest.mark.parametrize("result", [{}, {"result": None}, {"result": "x"}, {"result": []}])
async def test_failed_without_a_result(
    service: OrchestratorServer, caller: Caller, agent: Agent, result: dict[str, Any]
) -> None:
    """A `failed` that says nothing fails with a general sentence."""
    frame, _ = await finish(service, caller, agent, "failed", **result)
    assert (frame["data"]["status"], frame["data"]["code"]) == ("failed", "agent_failed")
    assert frame["data"]["message"]


@pytest.mark.parametrize("status", ["timeout", "cancelled"])
async def test_an_agent_may_give_up(
    service: OrchestratorServer, caller: Caller, agent: Agent, status: str
) -> None:
    """`timeout` and `cancelled` end the task as an `error` with that status."""
    error = {"type": "GaveUp", "message": "Too slow", "code": "slow"}
    frame, ledger = await finish(service, caller, agent, status, result={"error": error})
    assert frame["type"] == "error"
    assert frame["data"] == {"status": status, "code": "slow", "message": "Too slow"}
    assert (ledger["status"], ledger["code"]) == (status, "slow")


@pytest.mark.parametrize("second", ["completed", "failed", "timeout", "cancelled", "running", "progress"])
async def test_exactly_one_ending(
    service: OrchestratorServer, caller: Caller, agent: Agent, second: str
) -> None:
    """What comes after the ending is dropped, the same ending again included."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        await agent.complete(task, "first")
        await agent.report(task, second, result={"response": "second", "error": "second"})
        await agent.report(task, "streaming", result={"delta": "late"})
        await socket.ending(task["task_id"])
        ledger = await caller.ledger(task["task_id"])
        _, barrier = await asked(caller, agent)
        await agent.complete(barrier)
        await socket.ending(barrier["task_id"])
    own = [frame["type"] for frame in socket.events if frame["task_id"] == task["task_id"]]
    assert own == ["task_update", "agent_response"]
    after = await caller.ledger(task["task_id"])
    assert (after["status"], after["result"]) == (ledger["status"], ledger["result"])
    assert after["result"]["response"] == "first"


async def test_two_endings_in_one_burst(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """Pushed by one command, the first one taken counts."""
    async with watch(service, caller) as socket:
        _, task = await asked(caller, agent)
        done = json.dumps(callback(task, "completed", result={"response": "first"}))
        failed = json.dumps(callback(task, "failed", result={"error": "second"}))
        await agent.redis.lpush(task["callback_queue"], done, failed, done, failed)
        frame = await socket.ending(task["task_id"])
        _, barrier = await asked(caller, agent)
        await push(agent, barrier, json.dumps(callback(barrier, "failed", result={"error": "boom"})))
        await socket.ending(barrier["task_id"])
    assert frame["data"]["response"] == "first"
    assert [frame["type"] for frame in socket.events if frame["task_id"] == task["task_id"]] == [
        "task_update",
        "agent_response",
    ]
    assert (await ended(caller, task["task_id"]))["status"] == "completed"
