"""An agent asks, a person answers by HTTP (contract §3, §5)."""

import asyncio
from typing import Any

import pytest
from tests.contract.client import Agent, Caller, problem, unique
from tests.contract.conftest import NewTenant
from tests.contract.exchange import asked, ended
from tests.contract.questions import SCHEMA, ask, give, read, waiting
from tests.contract.test_http_tasks import reaches


async def test_question_and_answer(caller: Caller, agent: Agent) -> None:
    """Asked, shown in the ledger, answered: the agent finds the answer and ends the task as usual."""
    task = await waiting(caller, agent)
    ledger = await caller.ledger(task["task_id"])
    told = ledger["input_required"]
    assert (told["question"], told["prompt"], told["schema"]) == ("1", "Shall I?", SCHEMA)

    answer = await give(caller, task, "yes")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["input_required"]) == ("running", None)
    found = await read(agent, task)
    assert found["answer"] == "yes"
    assert found["deadline"] >= task["deadline"]
    await agent.complete(task)
    assert (await ended(caller, task["task_id"]))["status"] == "completed"


async def test_page_that_comes_later(caller: Caller, agent: Agent) -> None:
    """The view of the session has the open question, so that any page can show it."""
    task = await waiting(caller, agent)
    view = (await caller.get(f"/api/chat/sessions/{caller.session_id}")).json()
    (ledger,) = view["tasks"]
    assert ledger["task_id"] == task["task_id"]
    assert ledger["input_required"]["prompt"] == "Shall I?"


async def test_any_json_is_an_answer(caller: Caller, agent: Agent) -> None:
    """Where no schema says otherwise; null too, which is not the same as none."""
    answers: tuple[Any, ...] = (None, False, 0, "", [], {"a": [1.5, {"b": "é"}]}, 2**70)
    for answer in answers:
        task = await waiting(caller, agent, schema=None)
        assert (await give(caller, task, answer)).status_code == 200
        assert (await read(agent, task))["answer"] == answer
        await agent.complete(task)


async def test_named_question(caller: Caller, agent: Agent) -> None:
    """An answer may say which question it is for; to another one it is refused."""
    task = await waiting(caller, agent, question="q.2")
    problem(await give(caller, task, "yes", question="1"), 409, "not_waiting")
    assert (await give(caller, task, "yes", question="q.2")).status_code == 200


async def test_answer_that_does_not_fit(caller: Caller, agent: Agent) -> None:
    """400 says where and why; the question stays open."""
    task = await waiting(caller, agent)
    document = problem(await give(caller, task, "perhaps"), 400, "invalid_body")
    assert document["detail"] == '`$.answer` does not fit "enum":["yes","no"]'
    assert await caller.status(task["task_id"]) == "input_required"
    assert (await give(caller, task, "no")).status_code == 200


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "answer"),
        ({"answer": "yes", "questoin": "1"}, "questoin"),
        ({"answer": "yes", "question": 1}, "$.question"),
        ({"answer": "yes", "question": ""}, "$.question"),
        ([], "object"),
    ],
)
async def test_body_that_is_none(caller: Caller, agent: Agent, body: Any, where: str) -> None:
    """The body is strict, so that a typo is found."""
    task = await waiting(caller, agent)
    path = f"/api/chat/tasks/{task['task_id']}/answer"
    document = problem(await caller.http.post(path, headers=caller.headers, json=body), 400, "invalid_body")
    assert where in document["detail"]


async def test_answer_that_is_too_large(caller: Caller, agent: Agent) -> None:
    """64 KiB are the most; it is not the agent's schema that has to say so."""
    task = await waiting(caller, agent, schema=None)
    problem(await give(caller, task, "x" * 65_535), 413, "payload_too_large")
    assert (await give(caller, task, "x" * 65_534)).status_code == 200


async def test_same_answer_again(caller: Caller, agent: Agent) -> None:
    """Repeated after a broken connection it is 200, however it is spelled, also when the task has ended."""
    task = await waiting(caller, agent, schema=None)
    assert (await give(caller, task, {"a": 1, "b": 2})).status_code == 200
    assert (await give(caller, task, {"b": 2, "a": 1})).status_code == 200
    await agent.complete(task)
    await ended(caller, task["task_id"])
    again = await give(caller, task, {"a": 1, "b": 2})
    assert (again.status_code, again.json()["status"]) == (200, "completed")
    problem(await give(caller, task, {"a": 1}), 409, "not_waiting")


async def test_two_answer_at_once(caller: Caller, agent: Agent) -> None:
    """Of two different answers exactly one wins, and that is the one the agent gets."""
    task = await waiting(caller, agent)
    answers = ["yes", "no"] * 4
    given = await asyncio.gather(*(give(caller, task, answer) for answer in answers))
    taken = {answer for answer, reply in zip(answers, given, strict=True) if reply.status_code == 200}
    assert len(taken) == 1
    assert sorted(reply.status_code for reply in given) == [200] * 4 + [409] * 4
    assert (await read(agent, task))["answer"] == taken.pop()


async def test_nobody_waits(caller: Caller, agent: Agent) -> None:
    """409 where nothing was asked, and after the end."""
    sent, task = await asked(caller, agent)
    problem(await give(caller, task, "yes"), 409, "not_waiting")
    await ask(agent, task)
    await reaches(caller, sent["task_id"], "input_required")
    await agent.complete(task)
    await ended(caller, task["task_id"])
    problem(await give(caller, task, "yes"), 409, "not_waiting")


async def test_nobody_answers(caller: Caller, agent: Agent) -> None:
    """When the time is over the agent finds that, the task goes on, and an answer comes too late."""
    task = await waiting(caller, agent, expires_in=0.2)
    await reaches(caller, task["task_id"], "running")
    assert "answer" not in await read(agent, task)
    problem(await give(caller, task, "yes"), 409, "not_waiting")
    await agent.complete(task)
    assert (await ended(caller, task["task_id"]))["status"] == "completed"


async def test_deadline_stands_still(caller: Caller, agent: Agent) -> None:
    """A task may wait for a person longer than it may take; the rest of its time is there afterwards."""
    sent, task = await asked(caller, agent, timeout=1)
    await ask(agent, task)
    await reaches(caller, sent["task_id"], "input_required")
    other, _ = await asked(caller, agent, timeout=1.5)
    assert (await ended(caller, other["task_id"]))["code"] == "deadline"
    assert await caller.status(task["task_id"]) == "input_required"
    assert (await give(caller, task, "yes")).status_code == 200
    assert (await ended(caller, task["task_id"]))["code"] == "deadline"


async def test_cancelled_meanwhile(caller: Caller, agent: Agent) -> None:
    """A stop works while a task waits, and the agent learns of it by its cancel key."""
    task = await waiting(caller, agent)
    assert (await caller.cancel(task["task_id"])).json()["status"] == "cancelled"
    assert await agent.redis.exists(task["cancel_key"])
    problem(await give(caller, task, "yes"), 409, "not_waiting")
    assert (await caller.ledger(task["task_id"]))["input_required"] is None


async def test_strangers(caller: Caller, agent: Agent, new_tenant: NewTenant) -> None:
    """For another tenant the task does not exist; nor does one that was never there for anybody."""
    task = await waiting(caller, agent)
    stranger = Caller(caller.http, await new_tenant())
    problem(await give(stranger, task, "yes"), 404, "not_found")
    problem(await give(caller, {"task_id": unique("task")}, "yes"), 404, "not_found")
    problem(await give(caller, {"task_id": "no task"}, "yes"), 404, "not_found")


async def test_another_user(caller: Caller, agent: Agent) -> None:
    """Who may cancel a task may answer for it, nobody else."""
    accepted = await caller.accepted(headers={"X-User-ID": "ada"})
    task = await agent.take()
    await ask(agent, task)
    await reaches(caller, accepted["task_id"], "input_required")
    path, body = f"/api/chat/tasks/{task['task_id']}/answer", {"answer": "yes"}
    eve, ada = (caller.headers | {"X-User-ID": user} for user in ("eve", "ada"))
    problem(await caller.http.post(path, headers=eve, json=body), 404, "not_found")
    assert (await caller.http.post(path, headers=ada, json=body)).status_code == 200


async def test_large_question(caller: Caller, agent: Agent) -> None:
    """A question over 64 KiB is a dead letter, and the task goes on."""
    sent, task = await asked(caller, agent)
    await ask(agent, task, prompt="?" * 70_000)
    await ask(agent, task, question="2")
    await reaches(caller, sent["task_id"], "input_required")
    assert (await caller.ledger(task["task_id"]))["input_required"]["question"] == "2"


async def test_next_attempt_asks_again(caller: Caller, agent: Agent) -> None:
    """An agent that is lost while it waits: its question can be answered, and the next attempt finds the answer."""
    sent, task = await asked(caller, agent)
    await agent.report(task, "running", lease=1)
    await ask(agent, task)
    await reaches(caller, sent["task_id"], "input_required")
    # Its lease is suspended while it waits, and it says nothing when it should go on.
    assert (await give(caller, task, "yes")).status_code == 200
    again = await agent.take(within=10)
    assert (again["task_id"], again["attempt"]) == (task["task_id"], 2)
    assert (await read(agent, again))["answer"] == "yes"
    await ask(agent, again)
    await agent.complete(again)
    assert (await ended(caller, task["task_id"]))["status"] == "completed"
