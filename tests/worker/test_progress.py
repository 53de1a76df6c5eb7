"""`task.emit()` and failures that ask for another attempt, as callbacks (docs/agents.md)."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs
from tests.servers import wait_until
from tests.worker.service import Service, running

from orchestrator.worker import AgentWorker, Task, TaskError

LONG = 3600.0
"""Seconds: an interval that is never over in a test."""


async def test_progress_comes_between_the_text_before_and_after_it(
    service: Service, worker: AgentWorker
) -> None:
    """`emit` sends the chunks that wait first; the ending does the same."""
    worker.chunk_interval = LONG

    @worker.agent("agent-123")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        yield "a"
        yield "b"
        yield "c"
        await task.emit("tool", name="search", input={"q": 1})
        yield "d"
        yield "e"

    async with running(worker):
        await service.send()
        started, *callbacks, ending = await service.until_end()

    assert started["status"] == "running"
    progress = next(callback for callback in callbacks if callback["status"] == "progress")
    assert progress["result"] == {"kind": "tool", "name": "search", "input": {"q": 1}}
    before, after = callbacks[: callbacks.index(progress)], callbacks[callbacks.index(progress) + 1 :]
    assert "".join(chunk["result"]["delta"] for chunk in before) == "abc"
    assert "".join(chunk["result"]["delta"] for chunk in after) == "de"
    assert [chunk["seq"] for chunk in before + after] == list(range(len(before + after)))
    assert ending["result"]["response"] == "abcde"


async def test_the_interval_is_the_workers(service: Service, worker: AgentWorker) -> None:
    """What is yielded at once becomes two chunks: the first, and the rest of the moment."""
    worker.chunk_interval = LONG

    @worker.agent("agent-123")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        for word in task.message.split():
            yield word

    async with running(worker):
        await service.send("a b c d e f")
        started, *chunks, ending = await service.until_end()

    assert started["status"] == "running"
    assert chunks[0]["result"]["delta"].startswith("a")
    assert len(chunks) == 2
    assert ending["result"]["response"] == "abcdef"


async def test_what_cannot_be_emitted_is_told_to_the_agent(service: Service, worker: AgentWorker) -> None:
    """No JSON: TypeError. More than a callback may have: ValueError. Nothing is sent then."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        with pytest.raises(TypeError):
            await task.emit("tool", output=object())
        with pytest.raises(ValueError, match="1048576"):
            await task.emit("tool", output="x" * (1 << 20))
        return "told"

    async with running(worker):
        await service.send()
        callbacks = await service.until_end()

    assert [callback["status"] for callback in callbacks] == ["running", "completed"]


async def test_a_cancelled_agent_emits_nothing(service: Service, worker: AgentWorker) -> None:
    """One that keeps its cancellation to itself ends at its next `emit`."""
    ended: list[str] = []

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
        try:
            await task.emit("tool", name="search")
        except asyncio.CancelledError:
            ended.append("again")
            raise
        return "never"

    async with running(worker):
        task_id = await service.send()
        assert (await service.callback())["status"] == "running"
        await service.cancel(task_id)
        await wait_until(lambda: ended == ["cancelled", "again"])

    assert await service.silent()


@pytest.mark.parametrize(("retry", "members"), [(True, {"retry": True}), (False, {})])
async def test_a_failure_may_ask_for_another_attempt(
    service: Service, worker: AgentWorker, retry: bool, members: dict[str, bool]
) -> None:
    """`TaskError(…, retry=True)` is said in the callback, beside the failure itself."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        raise TaskError("The model is busy.", code="llm_busy", retry=retry)

    async with running(worker):
        await service.send()
        ending = await service.ending()

    assert ending["result"]["error"]["code"] == "llm_busy"
    assert {name: ending[name] for name in ending if name == "retry"} == members


async def test_the_trace_is_in_the_log(service: Service, worker: AgentWorker) -> None:
    """Lines about a task carry the trace of its request; the agent has it to pass on."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return task.traceparent or ""

    with capture_logs() as logs:
        async with running(worker):
            await service.send(traceparent=parent)
            assert (await service.ending())["result"]["response"] == parent
            await service.send()
            await service.ending()

    started = [line for line in logs if line["event"] == "agent_started"]
    # The service's `task_ended` is another line: what became of the task, not of one run.
    assert [line["status"] for line in logs if line["event"] == "agent_ended"] == ["completed"] * 2
    assert [line.get("trace_id") for line in started] == ["4bf92f3577b34da6a3ce929d0e0e4736", None]
