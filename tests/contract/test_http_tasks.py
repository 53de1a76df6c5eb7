"""The ledger of a task, its cancellation, and the view of a session (contract §3, §5)."""

from typing import Any

import httpx
import pytest
from tests.contract.client import Agent, Caller, problem, unique
from tests.contract.conftest import NewTenant
from tests.contract.test_http_send import moment
from tests.servers import wait_until

LEDGER = {
    "task_id",
    "status",
    "code",
    "attempt",
    "timeline",
    "queue",
    "queue_position",
    "result",
    "error",
    "execution_time",
    "tokens_used",
    "position",
}
TIMELINE = {
    "accepted_at",
    "queued_at",
    "started_at",
    "first_chunk_at",
    "ended_at",
    "delivered_at",
    "acknowledged_at",
}


async def reaches(caller: Caller, task_id: str, status: str) -> dict[str, Any]:
    """The ledger, once it has this status."""

    async def reached() -> bool:
        return await caller.status(task_id) == status

    await wait_until(reached)
    ledger = await caller.ledger(task_id)
    assert set(ledger) >= LEDGER
    assert set(ledger["timeline"]) == TIMELINE
    return ledger


async def test_a_waiting_task(caller: Caller) -> None:
    """`queued`, first attempt, with its queue; nothing of an ending."""
    sent = await caller.accepted()
    ledger = await reaches(caller, sent["task_id"], "queued")
    assert (ledger["task_id"], ledger["attempt"]) == (sent["task_id"], 1)
    assert ledger["queue"] == caller.tenant.queue()
    timeline = ledger["timeline"]
    assert moment(timeline["accepted_at"]) <= moment(timeline["queued_at"])
    assert not timeline.get("started_at")
    assert not timeline.get("ended_at")
    for name in ("code", "result", "error", "execution_time", "tokens_used", "position"):
        assert ledger.get(name) is None


async def test_queue_position_counts_those_before(caller: Caller) -> None:
    """The later of two waiting tasks stands behind the earlier one."""
    tasks = [(await caller.accepted())["task_id"] for _ in range(2)]
    first, second = [(await reaches(caller, task, "queued"))["queue_position"] for task in tasks]
    assert second == first + 1


async def test_a_running_task(caller: Caller, agent: Agent) -> None:
    """The first callback that is no ending makes the task `running`."""
    sent, task = await caller.accepted(), await agent.take()
    await agent.report(task, "running")
    ledger = await reaches(caller, sent["task_id"], "running")
    assert moment(ledger["timeline"]["queued_at"]) <= moment(ledger["timeline"]["started_at"])


async def test_a_completed_task(caller: Caller, agent: Agent) -> None:
    """The whole of the ledger after the contract's sample callback."""
    sent, task = await caller.accepted(), await agent.take()
    await agent.report(task, "streaming", seq=0, result={"delta": "Hi"})
    await agent.complete(task, execution_time=3.456, tokens_used={"total": 209})
    ledger = await reaches(caller, sent["task_id"], "completed")
    assert ledger["result"]["response"] == "Hi"
    assert (ledger["result"]["sources"], ledger["result"]["agent_info"]) == ([], {})
    assert (ledger["execution_time"], ledger["tokens_used"]) == (3.456, {"total": 209})
    assert ledger.get("error") is None
    assert ledger["position"].partition(":")[0] == sent["position"].partition(":")[0]
    stages = ("accepted_at", "queued_at", "started_at", "first_chunk_at", "ended_at")
    times = [moment(ledger["timeline"][name]) for name in stages]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"type": "ValueError", "message": "No such order"}, "agent_failed", "No such order"),
        ({"type": "T", "message": "Sold out", "code": "sold_out"}, "sold_out", "Sold out"),
        ("Plain words", "agent_failed", "Plain words"),
    ],
    ids=["object", "own code", "string"],
)
async def test_a_failed_task(caller: Caller, agent: Agent, error: Any, code: str, message: str) -> None:
    """`failed` with the agent's message, its own code if it has one, else `agent_failed`."""
    sent, task = await caller.accepted(), await agent.take()
    await agent.report(task, "failed", result={"error": error})
    ledger = await reaches(caller, sent["task_id"], "failed")
    assert ledger["code"] == code
    assert ledger.get("result") is None
    assert message in str(ledger["error"])


async def test_a_task_without_an_ending_times_out(caller: Caller) -> None:
    """One second of `timeout`, and nobody answers: `timeout` with code `deadline`."""
    sent = await caller.accepted(timeout=1)
    ledger = await reaches(caller, sent["task_id"], "timeout")
    assert ledger["code"] == "deadline"
    lasted = moment(ledger["timeline"]["ended_at"]) - moment(ledger["timeline"]["accepted_at"])
    assert 1 <= lasted.total_seconds() < 3


async def test_cancel_is_true_before_it_is_answered(caller: Caller, agent: Agent) -> None:
    """200 with the ledger, `cancelled` already; the agent finds its `cancel_key`, a list of one."""
    sent, task = await caller.accepted(), await agent.take()
    assert await agent.redis.exists(task["cancel_key"]) == 0
    answer = await caller.cancel(sent["task_id"])
    assert answer.status_code == 200, answer.text
    ledger = answer.json()
    assert (ledger["task_id"], ledger["status"], ledger["code"]) == (
        sent["task_id"],
        "cancelled",
        "cancelled",
    )
    assert await caller.status(sent["task_id"]) == "cancelled"
    assert await agent.redis.llen(task["cancel_key"]) == 1


async def test_an_ended_task_stays_as_it_ended(caller: Caller, agent: Agent) -> None:
    """Cancelling later, and an ending after the cancellation, change nothing."""
    sent, task = await caller.accepted(), await agent.take()
    await agent.complete(task)
    ended = await reaches(caller, sent["task_id"], "completed")
    answer = await caller.cancel(sent["task_id"])
    assert answer.status_code == 200
    assert answer.json() == ended
    assert await caller.ledger(sent["task_id"]) == ended


async def test_cancelling_twice_is_cancelling_once(caller: Caller) -> None:
    """The second answer is the first one's."""
    task_id = (await caller.accepted())["task_id"]
    first, second = await caller.cancel(task_id), await caller.cancel(task_id)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()


async def test_another_tenants_task_does_not_exist(
    caller: Caller, http: httpx.AsyncClient, new_tenant: NewTenant
) -> None:
    """404 `not_found`, the same as for one that never was; and cancelling does nothing."""
    stranger = Caller(http, await new_tenant(), caller.session_id)
    task_id = (await caller.accepted())["task_id"]
    theirs = problem(await stranger.get(f"/api/chat/tasks/{task_id}"), 404, "not_found")
    nobodys = problem(await stranger.get(f"/api/chat/tasks/{task_id[:-4]}AAAA"), 404, "not_found")
    assert theirs["title"] == nobodys["title"]
    problem(await stranger.cancel(task_id), 404, "not_found")
    assert await caller.status(task_id) != "cancelled"


async def test_the_view_of_a_session(caller: Caller, agent: Agent) -> None:
    """Exactly `position` and `tasks`: the ledgers of open and recent tasks of this session."""
    done = await caller.accepted()
    await agent.complete(await agent.take())
    await reaches(caller, done["task_id"], "completed")
    waiting = await caller.accepted()
    await Caller(caller.http, caller.tenant).accepted()
    await reaches(caller, waiting["task_id"], "queued")
    view = (await caller.get(f"/api/chat/sessions/{caller.session_id}")).json()
    assert set(view) == {"position", "tasks"}
    listed = {ledger["task_id"]: ledger for ledger in view["tasks"]}
    assert set(listed) == {done["task_id"], waiting["task_id"]}
    assert listed[done["task_id"]] == await caller.ledger(done["task_id"])
    assert listed[done["task_id"]]["result"]["response"] == "Hi"


async def test_another_tenants_session_looks_like_none(
    caller: Caller, http: httpx.AsyncClient, new_tenant: NewTenant
) -> None:
    """Under another tenant the same id is another session: what it answers tells nothing."""
    await caller.accepted()
    stranger = Caller(http, await new_tenant(), caller.session_id)
    used = await stranger.get(f"/api/chat/sessions/{caller.session_id}")
    unused = await stranger.get(f"/api/chat/sessions/{unique('sess')}")
    assert used.status_code == unused.status_code
    assert "task-" not in used.text
