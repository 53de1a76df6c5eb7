"""`run_task` and `Task(…)`: an agent's own tests need no Redis (docs/agents.md)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from orchestrator.worker import AgentWorker, AskExpired, Task, TaskError
from orchestrator.worker.testing import run_task


async def shout(task: Task) -> AsyncGenerator[str, None]:
    """Streams."""
    for word in task.message.split():
        yield word.upper()


async def test_a_streamed_answer() -> None:
    """The outcome has the chunks and the whole answer, in milliseconds and without a server."""
    outcome = await run_task(shout, "one two")

    assert (outcome.status, outcome.response, outcome.code) == ("completed", "ONETWO", None)
    assert outcome.chunks == ("ONE", "TWO")


async def test_a_returned_dict() -> None:
    """`result` is what the agent returned; tokens are where the service would find them."""

    async def agent(_: Task) -> dict[str, Any]:
        return {"response": "x", "sources": [1], "tokens_used": {"total": 3}}

    outcome = await run_task(agent, "hi")

    assert outcome.result == {"response": "x", "sources": [1]}
    assert outcome.tokens_used == {"total": 3}


async def test_tokens_are_counted() -> None:
    """What an agent counts is summed by name, and in its ending, whichever that is."""

    async def spend(task: Task) -> AsyncGenerator[str, None]:
        task.tokens_used(input=3, total=3)
        yield "x"
        task.tokens_used(input=4, output=1, total=5)
        if task.message == "fail":
            raise TaskError("no", code="no")

    for message, status in (("go", "completed"), ("fail", "failed")):
        outcome = await run_task(spend, message)
        assert (outcome.status, outcome.tokens_used) == (status, {"input": 7, "output": 1, "total": 8})


async def test_tokens_of_a_result() -> None:
    """What a result says goes before what was counted."""

    async def spend(task: Task) -> dict[str, Any]:
        task.tokens_used(total=3)
        return {"response": "x", "tokens_used": 4}

    assert (await run_task(spend, "go")).tokens_used == 4


async def test_a_task_error_is_the_outcome() -> None:
    """A failure that viewers would read is told by its code, and whether it would be tried again."""

    async def agent(_: Task) -> str:
        raise TaskError("Busy.", code="busy", retry=True)

    outcome = await run_task(agent, "hi")

    assert (outcome.status, outcome.code, outcome.retry, outcome.response) == ("failed", "busy", True, None)


async def test_other_exceptions_are_raised() -> None:
    """A fault of the agent fails its test with the agent's own traceback."""

    async def agent(_: Task) -> str:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        await run_task(agent, "hi")


async def test_the_deadline_is_kept() -> None:
    """A task that takes longer than `timeout` is cancelled, and ends as the service would end it."""
    seen: list[str] = []

    async def agent(_: Task) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("finally")
        return "never"

    outcome = await run_task(agent, "hi", timeout=0.01)

    assert (outcome.status, outcome.code, seen) == ("timeout", "deadline", ["finally"])


async def test_what_the_task_is_made_of() -> None:
    """Every member that an agent may read can be chosen; the rest is made up."""

    async def agent(task: Task) -> dict[str, Any]:
        return {
            "given": [task.tier, task.user_info, task.metadata, task.attempt, task.context.context_id],
            "context_type": task.context.context_type,
        }

    outcome = await run_task(
        agent,
        "hi",
        agent="collection-7",
        tier="free",
        user_info={"name": "Ada"},
        metadata={"n": 1},
        attempt=2,
    )

    assert outcome.result["given"] == ["free", {"name": "Ada"}, {"n": 1}, 2, "collection-7"]
    assert outcome.result["context_type"] == "collection"


async def test_progress_messages_and_answers() -> None:
    """What is emitted is kept; messages come once; answers come in turn, and run out."""

    async def agent(task: Task) -> str:
        await task.emit("tool", name="search", input={"q": 1})
        heard = [message.message for message in await task.messages()]
        heard += [message.message for message in await task.messages()]
        heard.append(await task.ask("Who?"))
        with pytest.raises(AskExpired):
            await task.ask("And who?", {"type": "string"}, expires_in=5)
        return " ".join(heard)

    outcome = await run_task(agent, "hi", messages=["also this"], answers=["Ada"])

    assert outcome.progress == ({"kind": "tool", "name": "search", "input": {"q": 1}},)
    assert outcome.response == "also this Ada"


async def test_an_unanswered_question_fails_the_task() -> None:
    """AskExpired that nobody catches is a TaskError with a code of its own."""

    async def agent(task: Task) -> str:
        return await task.ask("Sure?")

    outcome = await run_task(agent, "hi")

    assert (outcome.status, outcome.code) == ("failed", "ask_expired")


async def test_a_worker_with_several_agents() -> None:
    """Of a worker `agent` names one, with or without its type; resources come from its lifespan."""
    worker = AgentWorker()
    closed: list[bool] = []

    @worker.lifespan
    async def resources() -> AsyncGenerator[str, None]:
        yield "declared"
        closed.append(True)

    @worker.context("agent-1", "collection-7")
    async def agent(task: Task[str]) -> str:
        return f"{task.context.context_id} {task.context.context_type} {task.resources}"

    assert (await run_task(worker, "hi", agent="1")).response == "agent-1 agent declared"
    assert (await run_task(worker, "hi", agent="agent-1")).response == "agent-1 agent declared"
    assert closed == [True, True]
    outcome = await run_task(worker, "hi", agent="collection-7", resources="a fake")
    assert outcome.response == "collection-7 collection a fake"
    assert closed == [True, True]
    for wrong in (None, "2"):
        with pytest.raises(ValueError, match="agent-1, collection-7"):
            await run_task(worker, "hi", agent=wrong)


async def test_what_is_no_agent_is_refused() -> None:
    """A function that nobody could declare is told as such."""
    target: Any = len
    with pytest.raises(TypeError, match="async def"):
        await run_task(target, "hi")


async def test_cancelling_a_trial_cancels_the_agent() -> None:
    """Ctrl-C at the shell is no outcome."""
    began = asyncio.Event()

    async def agent(_: Task) -> str:
        began.set()
        await asyncio.Event().wait()
        return "never"

    trial = asyncio.create_task(run_task(agent, "hi"))
    await began.wait()
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial


async def test_a_task_made_by_hand() -> None:
    """A message is enough; what is emitted goes nowhere, nobody writes, and nobody can be asked."""
    task = Task(message="a b", metadata={"n": 1})

    assert [chunk async for chunk in shout(task)] == ["A", "B"]
    assert (task.attempt, task.metadata, task.resources, task.trace_id) == (1, {"n": 1}, None, None)
    await task.emit("tool", name="x")
    assert await task.messages() == []
    with pytest.raises(RuntimeError, match="run_task"):
        await task.ask("Sure?")


def test_the_trace_of_a_task() -> None:
    """`trace_id` is the part of `traceparent` that a log can be searched for."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert Task(message="", traceparent=parent).trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert Task(message="", traceparent="odd").trace_id is None


async def test_mistakes_in_calls_are_told() -> None:
    """`kind` twice, a question without time: wrong where they are made, also without a service."""
    task = Task(message="")
    with pytest.raises(ValueError, match="kind"):
        await task.emit("tool", kind="search")
    with pytest.raises(ValueError, match="expires_in"):
        await task.ask("Sure?", expires_in=0)
