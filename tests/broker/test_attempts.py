"""Attempts: leases that agents ask for, what follows where one is lost, and where enough was tried (contract §5)."""

import json
from typing import Any

import pytest
from tests.broker.tenant import SECOND, Tenant, callback, chunk, counted
from tests.packed import text_of

from orchestrator.broker.tasks import UNPUSHED_PATIENCE_MICROS
from orchestrator.protocol.task_message import for_attempt

PAYLOAD = json.dumps(
    {
        "action_type": "execution.agent_run", "task_id": "task-1", "attempt": 1, "tenant_id": "acme",
        "tenant_tier": "free", "session_id": "sess-1", "user_id": None, "conversation_id": None,
        "execution_context": {
            "context_id": "agent-123", "context_type": "agent", "tenant_id": "acme", "tenant_tier": "free",
            "primary_agent_id": "agent-123", "created_at": "2026-01-01T00:00:00.000000Z",
        },
        "message": "hi", "message_type": "text", "user_info": {"n": 2**60}, "metadata": {"é": [1.5, None]},
        "stream": True, "max_iterations": None, "callback_queue": "q", "cancel_key": "k",
        "created_at": "2026-01-01T00:00:00.000000Z", "deadline": "2026-01-01T00:05:00.000000Z", "traceparent": None,
    }
).encode()  # fmt: skip


async def lost(tenant: Tenant, task: str, attempt: int = 1) -> str:
    """What becomes of a task whose worker is gone."""
    return (await tenant.tasks.retry(tenant.name, task, attempt)).outcome


def lease_until(tenant: Tenant, task: str) -> float | None:
    """When the lease of the task is over, µs."""
    return tenant.client.zscore(tenant.key("leases"), task)


async def last(tenant: Tenant) -> tuple[str, Any]:
    """Type and data of the session's newest event."""
    frame = (await tenant.frames())[-1]
    return frame["type"], frame["data"]


async def test_next_attempt_begins(tenant: Tenant) -> None:
    """The task is `retrying` with the next attempt's number, and is to be pushed at once."""
    task = await tenant.task()
    await tenant.admissions.mark_queued(tenant.name, (task, 1))
    await tenant.deliver(callback(task, "running", attempt=1))
    retried = await tenant.tasks.retry(tenant.name, task, 1)

    assert (retried.outcome, retried.ended) == ("retried", [])
    assert abs(retried.due - tenant.broker.clock.now()) < SECOND
    record = await tenant.record(task)
    assert (record["status"], record["attempt"]) == (b"retrying", b"2")
    told = {"status": "retrying", "attempt": 2, "detail": {"reason": "worker_lost"}}
    assert await last(tenant) == ("task_update", told)
    due, errands = await tenant.tasks.due_pushes(tenant.name)
    assert [(e.task, e.attempt, e.withdraw, payload) for e, payload in errands] == [(task, 2, False, b"{}")]
    assert due.next > tenant.broker.clock.now()


async def test_answer_begins_anew(tenant: Tenant) -> None:
    """Nothing of the first attempt's text is in the answer, and its numbers may come again."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "old ", seq=0, attempt=1), chunk(task, "text", seq=1, attempt=1))
    await lost(tenant, task)
    assert text_of(tenant.client, tenant.key(f"task:{task}"))[0] == b""
    assert "first_chunk_at" not in await tenant.record(task)

    await tenant.deliver(chunk(task, "new", seq=0, attempt=2), callback(task, "completed", attempt=2))
    assert (await last(tenant))[1]["response"] == "new"


async def test_both_attempts_in_one_call(tenant: Tenant) -> None:
    """Text of an attempt that was given up in the same batch is not in the answer."""
    task = await tenant.task()
    await tenant.deliver(
        chunk(task, "old", seq=0, attempt=1),
        callback(task, "failed", {"error": "busy"}, attempt=1, retry=True),
        chunk(task, "new", seq=0, attempt=2),
        callback(task, "completed", attempt=2),
    )
    assert (await last(tenant))[1]["response"] == "new"
    assert not tenant.client.exists(tenant.key("leases"), tenant.key("unpushed"))


async def test_viewer_who_resumes(tenant: Tenant) -> None:
    """On replay the first attempt's chunks are covered, the second one's are there."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "old", seq=0, attempt=1))
    await lost(tenant, task)
    await tenant.deliver(chunk(task, "new", seq=0, attempt=2))
    chunks = [frame["data"] for frame in await tenant.frames() if frame["type"] == "agent_chunk"]
    assert chunks == [{"delta": "new", "seq": 0, "seq_from": 0, "attempt": 2}]


async def test_late_callbacks_are_fenced(tenant: Tenant) -> None:
    """Whatever the first attempt still says is dropped and counted, its ending too."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", attempt=1))
    await lost(tenant, task)
    late = await tenant.deliver(chunk(task, "x", seq=0, attempt=1), callback(task, "completed", attempt=1))
    assert counted(late) == {"dropped|fenced": 2}
    assert await tenant.status(task) == "retrying"


async def test_running_is_counted_once(tenant: Tenant) -> None:
    """A task that is tried again is not running meanwhile, and its ending takes it off once."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", attempt=1))
    started = (await tenant.record(task))["started_at"]
    await lost(tenant, task)
    assert tenant.client.hget(tenant.key("tenant"), "running") == b"0"
    again = await tenant.deliver(callback(task, "running", attempt=2))
    assert (tenant.client.hget(tenant.key("tenant"), "running"), again.started) == (b"1", [])
    assert (await tenant.record(task))["started_at"] == started
    await tenant.deliver(callback(task, "completed", attempt=2))
    assert tenant.client.hget(tenant.key("tenant"), "running") == b"0"


async def test_lost_twice_is_one_retry(tenant: Tenant) -> None:
    """Two replicas may find the same lease over: the second one's word is stale."""
    task = await tenant.task()
    assert [await lost(tenant, task), await lost(tenant, task)] == ["retried", "stale"]
    assert (await tenant.record(task))["attempt"] == b"2"


async def test_lost_after_the_end(tenant: Tenant) -> None:
    """A task that ended stays as it ended; of one that is gone nothing is made."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "completed"))
    kept = tenant.dump()
    assert [await lost(tenant, task), await lost(tenant, "task-gone")] == ["ended", "not_found"]
    assert tenant.dump() == kept


async def test_poison(tenant: Tenant) -> None:
    """A task whose workers die ends after the maximum, and says so."""
    task = await tenant.task()
    outcomes = [await lost(tenant, task, attempt) for attempt in (1, 2, 3)]
    assert outcomes == ["retried", "retried", "ended"]
    told = {
        "status": "failed",
        "code": "too_many_attempts",
        "message": "The agent failed too often on this message.",
    }
    assert await last(tenant) == ("error", told)
    assert not tenant.client.exists(tenant.key("unpushed"), tenant.key("outstanding"))


async def test_maximum_of_the_agent(tenant: Tenant) -> None:
    """What the task's record says goes before the deployment's maximum."""
    task = await tenant.task()
    tenant.client.hset(tenant.key(f"task:{task}"), "attempts_max", 1)
    assert await lost(tenant, task) == "ended"


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0), (2, 1), (3, 2), (6, 16), (9, 60)])
async def test_back_off(tenant: Tenant, attempt: int, seconds: int) -> None:
    """After a lost worker: at once, then 1, 2, 4 … seconds, a minute at most."""
    task = await tenant.task()
    tenant.client.hset(tenant.key(f"task:{task}"), mapping={"attempt": attempt, "attempts_max": 99})
    retried = await tenant.tasks.retry(tenant.name, task, attempt)
    assert abs(retried.due - tenant.broker.clock.now() - seconds * SECOND) < SECOND / 2
    pushed = tenant.client.zscore(tenant.key("unpushed"), task)
    assert pushed == retried.due - UNPUSHED_PATIENCE_MICROS


async def test_late_note_of_the_first_push(tenant: Tenant) -> None:
    """A note that attempt 1 is queued does not take attempt 2 off the list of what is to be pushed."""
    task = await tenant.task()
    await lost(tenant, task)
    await tenant.admissions.mark_queued(tenant.name, (task, 1))
    assert tenant.client.zscore(tenant.key("unpushed"), task) is not None
    await tenant.admissions.mark_queued(tenant.name, (task, 2))
    assert not tenant.client.exists(tenant.key("unpushed"))
    assert await tenant.status(task) == "retrying"


# An agent that asks to be tried again


async def test_agent_asks_for_another_try(tenant: Tenant) -> None:
    """A failure with `retry` shows its reason and begins the next attempt a second later."""
    task = await tenant.task()
    failure = {"error": {"type": "TaskError", "message": "The model is busy.", "code": "busy"}}
    delivered = await tenant.deliver(callback(task, "failed", failure, attempt=1, retry=True))
    assert delivered.ended == []
    assert await last(tenant) == ("task_update", {"status": "retrying", "attempt": 2, "detail": failure})
    assert abs(delivered.due - tenant.broker.clock.now() - SECOND) < SECOND / 2


async def test_last_try_fails_with_its_own_reason(tenant: Tenant) -> None:
    """Where no attempts are left, the failure is the task's end as the agent wrote it."""
    task = await tenant.task()
    tenant.client.hset(tenant.key(f"task:{task}"), "attempts_max", 1)
    failure = {"error": {"type": "TaskError", "message": "The model is busy.", "code": "busy"}}
    await tenant.deliver(callback(task, "failed", failure, retry=True))
    assert await last(tenant) == (
        "error", {"status": "failed", "code": "busy", "message": "The model is busy."},
    )  # fmt: skip


async def test_only_true_means_again(tenant: Tenant) -> None:
    """Any other value of `retry` leaves a failure a failure."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "failed", {"error": "no"}, retry="true"))
    assert await tenant.status(task) == "failed"


# Leases of plain agents


@pytest.mark.parametrize(("asked", "seconds"), [(30, 30), (2.5, 2.5), (True, 15), (0.01, 1), (10**9, 3_600)])
async def test_lease_is_given(tenant: Tenant, asked: Any, seconds: float) -> None:
    """`running` with `lease` is supervised for that long, `true` for the usual; held to 1 s … 1 h."""
    task = await tenant.task()
    delivered = await tenant.deliver(callback(task, "running", lease=asked))
    until = lease_until(tenant, task)
    assert until is not None
    assert abs(until - tenant.broker.clock.now() - seconds * SECOND) < SECOND / 2
    assert abs(delivered.due - until) < SECOND / 2


async def test_no_lease_unless_asked(tenant: Tenant) -> None:
    """An agent that asks for none is not supervised; its task ends by its deadline."""
    task = await tenant.task()
    delivered = await tenant.deliver(callback(task, "running"), callback(task, "progress", lease=9))
    assert (lease_until(tenant, task), delivered.due) == (None, 0)


async def test_any_callback_renews(tenant: Tenant) -> None:
    """The lease counts from the last word of the agent, whatever it was; the agenda need not hear of that."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", lease=30))
    tenant.client.zadd(tenant.key("leases"), {task: 1})
    delivered = await tenant.deliver(chunk(task, "a"))
    until = lease_until(tenant, task)
    assert until is not None
    assert abs(until - tenant.broker.clock.now() - 30 * SECOND) < SECOND / 2
    assert delivered.due == 0


async def test_silence_begins_the_next_attempt(tenant: Tenant) -> None:
    """A lease that is over is found by a look, and the next attempt is listed to be pushed."""
    task = await tenant.task()
    await tenant.admissions.mark_queued(tenant.name, (task, 1))
    await tenant.deliver(callback(task, "running", lease=30))
    tenant.client.zadd(tenant.key("leases"), {task: 1})
    tended, errands = await tenant.tasks.tend(tenant.name)
    assert [(e.task, e.attempt) for e, _ in errands] == [(task, 2)]
    assert tended.ended == []
    assert lease_until(tenant, task) is None
    assert (await tenant.frames())[-1]["data"]["status"] == "retrying"


async def test_look_is_planned_for_the_lease(tenant: Tenant) -> None:
    """A tenant is looked at again when its next lease is over."""
    task = await tenant.task()
    await tenant.admissions.mark_queued(tenant.name, (task, 1))
    await tenant.deliver(callback(task, "running", lease=30))
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert tended.next == lease_until(tenant, task)


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
async def test_lease_ends_with_the_task(tenant: Tenant, ending: str) -> None:
    """Nothing is left of the lease of a task that ended."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", lease=30), callback(task, ending))
    assert not tenant.client.exists(tenant.key("leases"))


async def test_look_at_others_keeps_a_lease(tenant: Tenant) -> None:
    """A lease that is not over stays, also where the task is read for something else."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", lease=30))
    tenant.client.zadd(tenant.key("unpushed"), {task: 1})
    await tenant.tasks.tend(tenant.name)
    assert lease_until(tenant, task) is not None


@pytest.mark.parametrize("lease", [-1, 0, "15", [], False])
async def test_lease_that_is_none(tenant: Tenant, lease: Any) -> None:
    """What is no lease is a dead letter that says so."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", lease=lease))
    assert [letter.reason for letter in await tenant.dead()] == ["invalid_lease"]


def test_pushed_again_as_it_was() -> None:
    """A later attempt is the same task with its number and its deadline; the first goes as it was written."""
    assert for_attempt(PAYLOAD, 1, 0) is PAYLOAD
    again = json.loads(for_attempt(PAYLOAD, 2, 1_800_000_000 * SECOND))
    expected = json.loads(PAYLOAD) | {"attempt": 2, "deadline": "2027-01-15T08:00:00.000000Z"}
    expected["execution_context"] |= {"agents": [], "collections": [], "metadata": {}}
    assert again == expected
