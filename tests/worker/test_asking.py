"""`task.ask()`: a person answers, and the task goes on; meanwhile it takes no slot (docs/agents.md)."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.servers import wait_until
from tests.worker.service import Service, running

from orchestrator.worker import AgentWorker, AskExpired, Task, liaison
from orchestrator.worker.deadline import Deadline


def in_minutes(minutes: float) -> datetime:
    """A moment from now."""
    return datetime.now(UTC) + timedelta(minutes=minutes)


async def test_a_question_and_its_answer(service: Service, worker: AgentWorker) -> None:
    """The question goes out as `input_required` after the text before it; any JSON comes back; the deadline moves."""
    schema = {"type": "object", "properties": {"amount": {"type": "number"}}}
    moved = in_minutes(30)

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        answer = await task.ask("How much?", schema, expires_in=60)
        return f"{answer['amount']} {task.deadline == moved}"

    async with running(worker):
        task_id = await service.send()
        assert (await service.callback())["status"] == "running"
        asked = await service.callback()
        assert (asked["status"], asked["attempt"]) == ("input_required", 1)
        assert asked["result"] == {
            "prompt": "How much?",
            "schema": schema,
            "question": "1",
            "expires_in": 60,
        }
        await service.answer(task_id, "1", {"amount": 5}, deadline=moved)
        assert (await service.ending())["result"]["response"] == "5 True"


async def test_false_and_null_are_answers(service: Service, worker: AgentWorker) -> None:
    """Only a missing answer is none."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return repr([await task.ask("One?"), await task.ask("Two?")])

    async with running(worker):
        task_id = await service.send()
        await service.answer(task_id, "1", False, deadline=in_minutes(1))
        await service.answer(task_id, "2", None, deadline=in_minutes(1))
        assert (await service.ending())["result"]["response"] == "[False, None]"


async def test_a_second_attempt_does_not_ask_again(service: Service, worker: AgentWorker) -> None:
    """What the first one was told is there; the deadline never moves back to what it was then."""
    late, early = in_minutes(30), in_minutes(1)
    seen: list[datetime] = []

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        answers = [await task.ask("One?")]
        seen.append(task.deadline)
        answers.append(await task.ask("Two?"))
        seen.append(task.deadline)
        return str(answers)

    task = service.task("hi", attempt=2)
    await service.answer(task["task_id"], "1", "a", deadline=late)
    await service.answer(task["task_id"], "2", "b", deadline=early)
    async with running(worker):
        await service.push(json.dumps(task))
        callbacks = await service.until_end()

    assert [callback["status"] for callback in callbacks] == ["running", "completed"]
    assert callbacks[-1]["result"]["response"] == "['a', 'b']"
    assert seen == [late, late]


async def test_nobody_answers(service: Service, worker: AgentWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """AskExpired; the question is withdrawn by `running`, and the agent may go on without an answer."""
    monkeypatch.setattr(liaison, "_GRACE", 0.0)

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        with pytest.raises(AskExpired):
            await task.ask("Sure?", expires_in=0.01)
        return str(task.deadline > deadline)

    async with running(worker):
        task = service.task("hi")
        deadline = datetime.fromisoformat(task["deadline"])
        await service.push(json.dumps(task))
        callbacks = await service.until_end()

    assert [callback["status"] for callback in callbacks] == [
        "running",
        "input_required",
        "running",
        "completed",
    ]
    assert callbacks[-1]["result"]["response"] == "True"


async def test_the_service_says_that_nobody_answered(service: Service, worker: AgentWorker) -> None:
    """An entry without an answer is the end of the question; uncaught it fails with `ask_expired`."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return await task.ask("Sure?")

    async with running(worker):
        task_id = await service.send()
        await service.answer(task_id, "1", deadline=in_minutes(1))
        callbacks = await service.until_end()

    assert callbacks[-1]["result"]["error"]["code"] == "ask_expired"
    assert "running" not in [callback["status"] for callback in callbacks[1:]]


async def test_who_waits_for_a_person_holds_no_slot(service: Service, worker: AgentWorker) -> None:
    """A worker with one slot runs other tasks meanwhile, and this one has it again afterwards."""
    worker.concurrency = 1

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        if task.message == "ask":
            return await task.ask("Sure?")
        return task.message

    async with running(worker):
        asking = await service.send("ask")
        assert [(await service.callback())["status"] for _ in range(2)] == ["running", "input_required"]
        for message in ("one", "two"):
            await service.send(message)
            assert (await service.ending())["result"]["response"] == message
        await service.answer(asking, "1", "yes", deadline=in_minutes(1))
        ending = await service.ending()

    assert (ending["task_id"], ending["result"]["response"]) == (asking, "yes")


async def test_one_question_at_a_time(service: Service, worker: AgentWorker) -> None:
    """Questions that an agent asks side by side are put one after the other, and numbered in that order."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return str(await asyncio.gather(task.ask("One?"), task.ask("Two?")))

    async with running(worker):
        task_id = await service.send()
        for number in ("1", "2"):
            asked = [await service.callback()]
            while asked[-1]["status"] != "input_required":
                asked.append(await service.callback())
            assert asked[-1]["result"]["question"] == number
            assert await service.silent()
            await service.answer(task_id, number, number, deadline=in_minutes(1))
        assert (await service.ending())["result"]["response"] == "['1', '2']"


async def test_cancelling_ends_the_wait(service: Service, worker: AgentWorker) -> None:
    """The agent gets CancelledError where it asks, and nothing is reported after it."""
    seen: list[str] = []

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        try:
            return await task.ask("Sure?")
        finally:
            seen.append("finally")

    async with running(worker):
        task_id = await service.send()
        assert [(await service.callback())["status"] for _ in range(2)] == ["running", "input_required"]
        await service.cancel(task_id)
        await wait_until(lambda: seen == ["finally"])

    assert await service.silent()


async def test_a_worker_that_stops_does_not_wait_for_people(service: Service, worker: AgentWorker) -> None:
    """The task is handed over at once: another worker asks the same again, or finds the answer."""
    worker.stop_timeout = 3600

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return await task.ask("Sure?")

    async with running(worker):
        await service.send()
        assert [(await service.callback())["status"] for _ in range(2)] == ["running", "input_required"]

    ending = await service.ending()
    assert (ending["status"], ending["retry"]) == ("failed", True)
    assert ending["result"]["error"]["code"] == "worker_stopped"


async def test_what_cannot_be_asked_is_told_to_the_agent(service: Service, worker: AgentWorker) -> None:
    """No JSON: TypeError. More than 64 KiB, or a time that is none or over a week: ValueError."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        with pytest.raises(TypeError):
            await task.ask("Sure?", {"default": object()})
        with pytest.raises(ValueError, match="65536"):
            await task.ask("x" * 65_536)
        for seconds in (0, -1, 7 * 24 * 3600 + 1):
            with pytest.raises(ValueError, match="expires_in"):
                await task.ask("Sure?", expires_in=seconds)
        return "told"

    async with running(worker):
        await service.send()
        callbacks = await service.until_end()

    assert [callback["status"] for callback in callbacks] == ["running", "completed"]


async def test_the_deadline_stands_still() -> None:
    """What a block takes is added to the deadline, and it does not pass meanwhile."""
    first = datetime.now(UTC) + timedelta(seconds=0.05)
    deadline = Deadline(first)
    async with deadline.kept():
        with deadline.standing_still():
            await wait_until(lambda: datetime.now(UTC) > first)

    assert deadline.moment > first


async def test_the_deadline_passes_afterwards() -> None:
    """Standing still is not standing for ever."""
    deadline = Deadline(datetime.now(UTC) + timedelta(seconds=0.05))

    async def go_on() -> None:
        async with deadline.kept():
            with deadline.standing_still():
                await asyncio.sleep(0)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await go_on()


async def test_a_deadline_that_nobody_keeps_can_move() -> None:
    """Whoever asks after the end of its task does no harm."""
    deadline = Deadline(in_minutes(1))
    async with deadline.kept():
        pass
    deadline.move_to(later := in_minutes(2))

    assert deadline.moment == later
