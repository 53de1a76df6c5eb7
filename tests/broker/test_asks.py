"""Questions to people: asked, answered once, expired, withdrawn, and what a lost worker leaves of them (contract §5)."""

import json
from typing import Any

import pytest
from tests.broker.tenant import SECOND, Tenant, callback, chunk, counted

from orchestrator.broker.answers import Answers
from orchestrator.protocol.times import micros

SCHEMA = {"type": "string", "enum": ["yes", "no"]}


def question(task: str, name: str | None = "1", seconds: float = 600, **members: Any) -> bytes:
    """What an agent reports when it asks."""
    asked: dict[str, Any] = {"prompt": "Shall I?", "schema": SCHEMA, "expires_in": seconds}
    if name is not None:
        asked["question"] = name
    return callback(task, "input_required", asked, **members)


async def give(tenant: Tenant, task: str, answer: Any = "yes", name: str = "1", **who: str) -> str:
    """What becomes of an answer."""
    raw = json.dumps(answer).encode()
    return (await Answers(tenant.broker).give(tenant.name, task, name, raw, **who)).outcome


def kept(tenant: Tenant, task: str, name: str = "1") -> Any:
    """What an agent reads of its question."""
    value = tenant.client.hget(tenant.key(f"answers:{task}"), name)
    return None if value is None else json.loads(value)


def score(tenant: Tenant, task: str) -> float:
    """When the task is looked at, µs."""
    return tenant.client.zscore(tenant.key("outstanding"), task)


def running(tenant: Tenant) -> int:
    """How many tasks of the tenant count as running."""
    return int(tenant.client.hget(tenant.key("tenant"), "running") or 0)


async def last(tenant: Tenant) -> Any:
    """The data of the session's newest event."""
    return (await tenant.frames())[-1]["data"]


async def deadline(tenant: Tenant, task: str) -> int:
    """The task's deadline as its record has it, µs."""
    return int((await tenant.record(task))["deadline"])


def near(moment: float, expected: float) -> bool:
    """Whether two moments are one, but for the time that a test takes."""
    return abs(moment - expected) < SECOND


async def pass_time(tenant: Tenant, task: str, seconds: float) -> None:
    """Let the task's clocks run ahead, as if that much time had passed."""
    key, moved = tenant.key(f"task:{task}"), int(seconds * SECOND)
    for name in ("deadline", "expires_at"):
        tenant.client.hincrby(key, name, -moved)
    tenant.client.zincrby(tenant.key("outstanding"), -moved, task)


async def test_question_is_asked(tenant: Tenant) -> None:
    """Viewers are told what is asked and until when, and the task does not count as running."""
    task = await tenant.task()
    delivered = await tenant.deliver(callback(task, "running"), question(task))
    told = await last(tenant)
    assert (told["status"], told["attempt"]) == ("input_required", 1)
    detail = told["detail"]
    assert (detail["question"], detail["prompt"], detail["schema"]) == ("1", "Shall I?", SCHEMA)
    until = micros(detail["expires_at"])
    assert near(until, tenant.broker.clock.now() + 600 * SECOND)
    assert (score(tenant, task), delivered.due) == (until, until)
    assert (await tenant.status(task), running(tenant)) == ("input_required", 0)


async def test_first_word_is_a_question(tenant: Tenant) -> None:
    """An agent may ask at once: the task has begun by that."""
    task = await tenant.task()
    delivered = await tenant.deliver(question(task))
    assert len(delivered.started) == 1
    assert [frame["data"]["status"] for frame in await tenant.frames()] == ["queued", "running", "input_required"]
    assert running(tenant) == 0


async def test_usual_name_and_time(tenant: Tenant) -> None:
    """A question without a name is "1", one without a time is open for an hour; a week is the most."""
    first, second = await tenant.task(), await tenant.task()
    await tenant.deliver(callback(first, "input_required", {"prompt": "?"}), question(second, seconds=10**9))
    assert (await tenant.record(first))["question"] == b"1"
    now = tenant.broker.clock.now()
    assert near(score(tenant, first), now + 3_600 * SECOND)
    assert near(score(tenant, second), now + 7 * 86_400 * SECOND)


async def test_number_as_a_name(tenant: Tenant) -> None:
    """A number names a question as its digits do."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "input_required", {"prompt": "?", "question": 7}))
    assert (await tenant.record(task))["question"] == b"7"


async def test_everything_is_kept_while_it_waits(tenant: Tenant) -> None:
    """The record, the session and its log outlive the longest wait with the rest of the task's time."""
    task = await tenant.task(timeout=60)
    await tenant.deliver(chunk(task, "a"), question(task, seconds=7 * 86_400))
    ends = (tenant.broker.clock.now() + (7 * 86_400 + 60) * SECOND) / 1000 - 1_000
    for name in (f"task:{task}", f"text:{task}", "session:sess-1", "log:sess-1", "tasks:sess-1", "outstanding"):
        assert tenant.client.pexpiretime(tenant.key(name)) > ends, name


async def test_answer(tenant: Tenant) -> None:
    """The task goes on with the rest of its time, the agent finds the answer, and viewers learn that there is one."""
    task = await tenant.task(timeout=100)
    await tenant.deliver(callback(task, "running"), question(task))
    await pass_time(tenant, task, 500)
    assert await give(tenant, task) == "answered"
    assert await last(tenant) == {"status": "running", "attempt": 1, "detail": {"question": "1", "answered": True}}
    ends = await deadline(tenant, task)
    assert near(ends, tenant.broker.clock.now() + 100 * SECOND)
    assert kept(tenant, task) == {"answer": "yes", "deadline": json.loads(json.dumps(kept(tenant, task)["deadline"]))}
    assert micros(kept(tenant, task)["deadline"]) == ends == score(tenant, task)
    assert (await tenant.status(task), running(tenant)) == ("running", 1)
    record = await tenant.record(task)
    assert (record["expires_at"], record["ask"]) == (b"0", b"")


async def test_look_is_planned_for_the_deadline(tenant: Tenant) -> None:
    """Whoever answered has the tenant looked at when the task's time is over."""
    task = await tenant.task(timeout=20)
    await tenant.deliver(question(task))
    answered = await Answers(tenant.broker).give(tenant.name, task, "1", b'"yes"')
    assert answered.due == await deadline(tenant, task)


async def test_same_answer_again(tenant: Tenant) -> None:
    """A client that did not hear whether its answer came may send it again, also after the task has ended."""
    task = await tenant.task()
    await tenant.deliver(question(task))
    assert [await give(tenant, task, {"a": 1}), await give(tenant, task, {"a": 1})] == ["answered", "repeated"]
    await tenant.deliver(callback(task, "completed"))
    before = tenant.dump()
    assert await give(tenant, task, {"a": 1}) == "repeated"
    assert tenant.dump() == before


async def test_another_answer_comes_too_late(tenant: Tenant) -> None:
    """Of two people who answer one wins; the other's answer changes nothing."""
    task = await tenant.task()
    await tenant.deliver(question(task))
    await give(tenant, task, "yes")
    before = tenant.dump()
    assert [await give(tenant, task, "no"), await give(tenant, task, "yes, please")] == ["not_waiting"] * 2
    assert tenant.dump() == before


@pytest.mark.parametrize("name", ["2", ""])
async def test_answer_to_nothing(tenant: Tenant, name: str) -> None:
    """A question that was not asked cannot be answered."""
    task = await tenant.task()
    assert await give(tenant, task, "yes", "1") == "not_waiting"
    await tenant.deliver(question(task, "1"))
    assert await give(tenant, task, "yes", name) == "not_waiting"


async def test_answer_after_the_end(tenant: Tenant) -> None:
    """Nobody waits in a task that has ended."""
    task = await tenant.task()
    await tenant.deliver(question(task), callback(task, "completed"))
    assert await give(tenant, task) == "not_waiting"
    assert kept(tenant, task) is None


async def test_strangers(tenant: Tenant) -> None:
    """Another user, a token of another session and another tenant find no such task."""
    task = await tenant.task(user="ada")
    await tenant.deliver(question(task))
    assert await give(tenant, task, user="eve") == "not_found"
    assert await give(tenant, task, user="ada", session="sess-2") == "not_found"
    assert await give(tenant.another("globex"), task) == "not_found"
    assert await give(tenant, "task-gone") == "not_found"
    assert await give(tenant, task, user="ada", session="sess-1") == "answered"


# Time


async def test_nobody_answers(tenant: Tenant) -> None:
    """When the time is over the task goes on with the rest of its own, and the agent finds that nobody answered."""
    task = await tenant.task(timeout=100)
    await tenant.deliver(question(task))
    await pass_time(tenant, task, 600)
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert tended.ended == []
    assert await last(tenant) == {"status": "running", "attempt": 1, "detail": {"question": "1", "expired": True}}
    ends = await deadline(tenant, task)
    assert near(ends, tenant.broker.clock.now() + 100 * SECOND)
    assert "answer" not in kept(tenant, task)
    assert micros(kept(tenant, task)["deadline"]) == ends == score(tenant, task)
    assert running(tenant) == 1


async def test_answer_when_the_time_is_over(tenant: Tenant) -> None:
    """Not even an answer that comes before anybody noticed is taken."""
    task = await tenant.task()
    await tenant.deliver(question(task))
    await pass_time(tenant, task, 601)
    assert await give(tenant, task) == "not_waiting"
    await tenant.tasks.tend(tenant.name)
    assert await give(tenant, task) == "not_waiting"


async def test_deadline_stands_still(tenant: Tenant) -> None:
    """A task that waits does not end as timeout, and one whose question is over does when its own time is."""
    task = await tenant.task(timeout=10)
    await tenant.deliver(question(task, seconds=600))
    await pass_time(tenant, task, 599)
    assert (await tenant.tasks.tend(tenant.name))[0].ended == []
    assert await tenant.status(task) == "input_required"
    await pass_time(tenant, task, 2)
    await tenant.tasks.tend(tenant.name)
    assert await tenant.status(task) == "running"
    await pass_time(tenant, task, 12)
    await tenant.tasks.tend(tenant.name)
    assert await tenant.status(task) == "timeout"


# What the agent says meanwhile


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
    """A stop works meanwhile: it takes nothing off the queue, and the agent finds the cancel key for as long as it needs."""
    task = await tenant.task(timeout=10)
    await tenant.deliver(callback(task, "running"), question(task))
    await pass_time(tenant, task, 300)
    cancelled, errands = await tenant.tasks.cancel(tenant.name, task, "")
    assert (cancelled.outcome, list(errands), running(tenant)) == ("cancelled", [], 0)
    assert tenant.client.pttl(tenant.key(f"cancel:{task}")) > 60_000
    assert await give(tenant, task) == "not_waiting"


async def test_lease_is_suspended(tenant: Tenant) -> None:
    """An agent that waits need not speak; from the answer on it is looked after again."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", lease=30), question(task))
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
    assert await give(tenant, task) == "answered"
    assert await last(tenant) == {"status": "retrying", "attempt": 2, "detail": {"question": "1", "answered": True}}

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


async def test_nothing_half_asked(tenant: Tenant) -> None:
    """Somebody else's key where the answers belong: the question stays at the head of its queue, and all as it was."""
    task = await tenant.task()
    tenant.client.set(tenant.key(f"answers:{task}"), "foreign", ex=600)
    tenant.report(question(task))
    before = tenant.dump()
    delivered = (await tenant.callbacks.deliver([tenant.name]))[0]
    assert (delivered.taken, delivered.stop) == (0, "error")
    assert tenant.dump() == before
