"""Questions to people: what their agent does meanwhile, and what a lost one leaves of them (contract §5)."""

import json
from typing import Any

import pytest
from tests.broker.asking import deadline, give, kept, last, near, pass_time, question, running, score
from tests.broker.tenant import SECOND, Tenant, callback, counted

from orchestrator.broker.answers import Answers
from orchestrator.protocol.times import micros


async def test_agent_goes_on_by_itself(tenant: Tenant) -> None:
    """A bare `running` withdraws the question."""
    task = await tenant.task(timeout=100)
    await tenant.deliver(question(task), callback(task, "running", {"note": "never mind"}))
    assert await last(tenant) == {"status": "running", "attempt": 1, "detail": {"note": "never mind"}}
    assert near(await deadline(tenant, task), tenant.broker.clock.now() + 100 * SECOND)
    assert await give(tenant, task) == "not_waiting"
    assert (kept(tenant, task), running(tenant)) == (None, 1)
    await tenant.deliver(question(task))
    assert await give(tenant, task) == "answered"


async def test_agent_goes_on_after_the_time(tenant: Tenant) -> None:
    """An agent that notices before the service does that nobody answered leaves that to be found."""
    task = await tenant.task()
    await tenant.deliver(question(task))
    await pass_time(tenant, task, 601)
    await tenant.deliver(callback(task, "running"))
    assert (await last(tenant))["detail"] == {"question": "1", "expired": True}
    assert "answer" not in kept(tenant, task)


@pytest.mark.parametrize(
    "members",
    [
        {"status": "progress", "result": {"n": 1}},
        {"status": "streaming", "result": {"delta": "a"}},
        {"status": "running", "lease": 30},
        {"status": "running", "took": []},
    ],
    ids=["progress", "streaming", "heartbeat", "took"],
)
async def test_what_goes_on_beside_the_question(tenant: Tenant, members: dict[str, Any]) -> None:
    """Anything else an agent reports leaves the question open, and the clock standing."""
    task = await tenant.task()
    await tenant.deliver(question(task))
    until = score(tenant, task)
    await tenant.deliver(json.dumps({"task_id": task, **members}).encode())
    assert (await tenant.status(task), score(tenant, task), running(tenant)) == ("input_required", until, 0)
    assert await give(tenant, task) == "answered"


@pytest.mark.parametrize("ending", ["completed", "failed", "timeout", "cancelled"])
async def test_agent_ends_meanwhile(tenant: Tenant, ending: str) -> None:
    """An ending ends the task, question and all."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"), question(task), callback(task, ending))
    assert (await tenant.status(task), running(tenant)) == (ending, 0)
    assert not tenant.client.exists(tenant.key("outstanding"))
    assert (await tenant.record(task))["ask"] == b""


async def test_said_twice(tenant: Tenant) -> None:
    """The same question again changes nothing."""
    task = await tenant.task()
    await tenant.deliver(question(task, seconds=60))
    until = score(tenant, task)
    await tenant.deliver(question(task, seconds=600))
    assert (score(tenant, task), len(await tenant.frames())) == (until, 3)


async def test_next_question(tenant: Tenant) -> None:
    """A second question takes the place of the first, and the task loses none of its time by that."""
    task = await tenant.task(timeout=100)
    await tenant.deliver(question(task, "1"))
    await pass_time(tenant, task, 50)
    await tenant.deliver(question(task, "2", seconds=60))
    assert await give(tenant, task, "yes", "1") == "not_waiting"
    assert await give(tenant, task, "yes", "2") == "answered"
    assert near(await deadline(tenant, task), tenant.broker.clock.now() + 100 * SECOND)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({}, "missing_prompt"),
        ({"prompt": ""}, "missing_prompt"),
        ({"prompt": 1}, "missing_prompt"),
        ({"prompt": "?", "question": ""}, "invalid_question"),
        ({"prompt": "?", "question": 'a"b'}, "invalid_question"),
        ({"prompt": "?", "question": "x" * 65}, "invalid_question"),
        ({"prompt": "?", "question": -1}, "invalid_question"),
        ({"prompt": "?", "expires_in": 0}, "invalid_expires_in"),
        ({"prompt": "?", "expires_in": "60"}, "invalid_expires_in"),
    ],
)
async def test_question_that_is_none(tenant: Tenant, result: dict[str, Any], reason: str) -> None:
    """What cannot be asked is a dead letter that says why."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "input_required", result))
    assert [letter.reason for letter in await tenant.dead()] == [reason]
    assert await tenant.status(task) == "accepted"


# Cancellation, leases, lost workers


async def test_cancelled_while_it_waits(tenant: Tenant) -> None:
    """A stop works meanwhile: it takes nothing off the queue, and the agent finds the cancel key."""
    task = await tenant.task(timeout=10)
    await tenant.deliver(callback(task, "running"), question(task))
    await pass_time(tenant, task, 300)
    cancelled, errands = await tenant.tasks.cancel(tenant.name, task, "")
    assert (cancelled.outcome, list(errands), running(tenant)) == ("cancelled", [], 0)
    assert 60_000 < tenant.client.pttl(tenant.key(f"cancel:{task}")) < 90_000
    assert await give(tenant, task) == "not_waiting"


async def test_lease_is_suspended(tenant: Tenant) -> None:
    """An agent that waits need not speak; from the answer on it is looked after again."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", lease=30))
    await tenant.deliver(question(task))
    assert tenant.client.zscore(tenant.key("leases"), task) is None
    await tenant.deliver(callback(task, "progress"))
    assert tenant.client.zscore(tenant.key("leases"), task) is None
    answered = await Answers(tenant.broker).give(tenant.name, task, "1", b"1")
    leased_until = tenant.client.zscore(tenant.key("leases"), task)
    assert near(leased_until, tenant.broker.clock.now() + 30 * SECOND)
    assert answered.due == leased_until


async def test_lost_before_the_answer(tenant: Tenant) -> None:
    """The question outlives its worker: it can be answered meanwhile, and the next attempt finds the answer."""
    task = await tenant.task(timeout=100)
    await tenant.deliver(callback(task, "running", attempt=1), question(task, attempt=1))
    await pass_time(tenant, task, 50)
    await tenant.tasks.retry(tenant.name, task, 1)
    assert near(await deadline(tenant, task), tenant.broker.clock.now() + 100 * SECOND)
    assert running(tenant) == 0
    await tenant.admissions.mark_queued(tenant.name, (task, 2))
    due, _ = await tenant.tasks.due_pushes(tenant.name)
    assert due.next == await deadline(tenant, task)
    assert await give(tenant, task) == "answered"
    assert await last(tenant) == {
        "status": "retrying",
        "attempt": 2,
        "detail": {"question": "1", "answered": True},
    }

    await tenant.deliver(callback(task, "running", attempt=2), question(task, attempt=2))
    assert (await tenant.status(task), running(tenant)) == ("running", 1)
    assert kept(tenant, task)["answer"] == "yes"


async def test_lost_after_the_answer(tenant: Tenant) -> None:
    """The next attempt that asks the same has its answer at once, whoever asks first thing."""
    task = await tenant.task()
    await tenant.deliver(question(task, attempt=1))
    await give(tenant, task)
    await tenant.tasks.retry(tenant.name, task, 1)
    await tenant.deliver(question(task, attempt=2))
    assert (await last(tenant))["status"] == "running"
    assert kept(tenant, task)["answer"] == "yes"


async def test_question_keeps_its_time(tenant: Tenant) -> None:
    """A question that the next attempt asks again is open for as long as it was, and answered once."""
    task = await tenant.task(timeout=100)
    await tenant.deliver(question(task, seconds=600, attempt=1))
    await pass_time(tenant, task, 200)
    until = score(tenant, task)
    await tenant.tasks.retry(tenant.name, task, 1)
    await tenant.deliver(callback(task, "running", attempt=2), question(task, seconds=600, attempt=2))
    assert micros((await last(tenant))["detail"]["expires_at"]) == score(tenant, task) == until
    assert await give(tenant, task) == "answered"
    assert near(await deadline(tenant, task), tenant.broker.clock.now() + 100 * SECOND)


async def test_time_is_over_between_attempts(tenant: Tenant) -> None:
    """A question whose time passed while nobody ran the task is over for the next attempt as well."""
    task = await tenant.task(timeout=1_000)
    await tenant.deliver(question(task, seconds=60, attempt=1))
    await tenant.tasks.retry(tenant.name, task, 1)
    await pass_time(tenant, task, 61)
    assert await give(tenant, task) == "not_waiting"
    await tenant.deliver(question(task, seconds=60, attempt=2))
    assert (await last(tenant))["detail"] == {"question": "1", "expired": True}
    assert "answer" not in kept(tenant, task)


async def test_late_question_of_the_lost_attempt(tenant: Tenant) -> None:
    """What the first attempt still asks is dropped."""
    task = await tenant.task()
    await tenant.tasks.retry(tenant.name, task, 1)
    assert counted(await tenant.deliver(question(task, attempt=1))) == {"dropped|fenced": 1}


async def test_answers_after_the_end(tenant: Tenant) -> None:
    """They are kept for whoever repeats one, as long as a log is, and no longer."""
    task = await tenant.task()
    await tenant.deliver(question(task))
    await give(tenant, task)
    await tenant.deliver(callback(task, "completed"))
    assert tenant.client.ttl(tenant.key(f"answers:{task}")) in range(3_500, 3_601)


async def test_nothing_half_expired(tenant: Tenant) -> None:
    """Somebody else's key where the answers belong: a look changes nothing of the task, and goes on with the others."""
    task, other = await tenant.task(), await tenant.task()
    await tenant.deliver(question(task))
    await pass_time(tenant, task, 601)
    tenant.client.set(tenant.key(f"answers:{task}"), "foreign", ex=600)
    tenant.client.zadd(tenant.key("outstanding"), {other: 1})
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert [ended.task for ended in tended.ended] == [other]
    assert await tenant.status(task) == "input_required"


async def test_nothing_half_asked(tenant: Tenant) -> None:
    """Somebody else's key where the answers belong: the question stays at the head of its queue, and all as it was."""
    task = await tenant.task()
    tenant.client.set(tenant.key(f"answers:{task}"), "foreign", ex=600)
    tenant.report(question(task))
    before = tenant.dump()
    delivered = (await tenant.callbacks.deliver([tenant.name]))[0]
    assert (delivered.taken, delivered.stop) == (0, "error")
    assert tenant.dump() == before
