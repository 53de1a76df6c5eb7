"""Questions to people: asked, answered once, open for a time (contract §5)."""

import json

import pytest
from tests.broker.asking import SCHEMA, deadline, give, kept, last, near, pass_time, question, running, score
from tests.broker.tenant import SECOND, Tenant, callback, chunk

from orchestrator.broker.answers import Answers
from orchestrator.protocol.times import micros


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
    assert [frame["data"]["status"] for frame in await tenant.frames()] == [
        "queued",
        "running",
        "input_required",
    ]
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
    for name in (
        f"task:{task}",
        f"text:{task}",
        "session:sess-1",
        "log:sess-1",
        "tasks:sess-1",
        "outstanding",
    ):
        assert tenant.client.pexpiretime(tenant.key(name)) > ends, name


async def test_answer(tenant: Tenant) -> None:
    """The task goes on with the rest of its time, the agent finds the answer, and viewers learn that there is one."""
    task = await tenant.task(timeout=100)
    await tenant.deliver(callback(task, "running"), question(task))
    await pass_time(tenant, task, 500)
    assert await give(tenant, task) == "answered"
    assert await last(tenant) == {
        "status": "running",
        "attempt": 1,
        "detail": {"question": "1", "answered": True},
    }
    ends = await deadline(tenant, task)
    assert near(ends, tenant.broker.clock.now() + 100 * SECOND)
    assert kept(tenant, task) == {
        "answer": "yes",
        "deadline": json.loads(json.dumps(kept(tenant, task)["deadline"])),
    }
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
    assert [await give(tenant, task, {"a": 1}), await give(tenant, task, {"a": 1})] == [
        "answered",
        "repeated",
    ]
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
    assert await last(tenant) == {
        "status": "running",
        "attempt": 1,
        "detail": {"question": "1", "expired": True},
    }
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
    task = await tenant.task(timeout=100)
    await tenant.deliver(question(task, seconds=600))
    await pass_time(tenant, task, 500)
    assert (await tenant.tasks.tend(tenant.name))[0].ended == []
    assert await tenant.status(task) == "input_required"
    await pass_time(tenant, task, 101)
    await tenant.tasks.tend(tenant.name)
    assert await tenant.status(task) == "running"
    await pass_time(tenant, task, 101)
    await tenant.tasks.tend(tenant.name)
    assert await tenant.status(task) == "timeout"
