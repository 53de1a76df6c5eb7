"""Cancellation and deadlines reach the handler, and end what it may say (contract §5, §9)."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import structlog
from structlog.testing import capture_logs
from tests.servers import wait_until
from tests.worker.service import Service, running

from orchestrator.worker import AgentWorker, Task
from orchestrator.worker.deadline import Deadline
from orchestrator.worker.execution import Execution
from orchestrator.worker.reports import Reports
from orchestrator.worker.task import NoLiaison, read_assignment


async def test_cancelling_interrupts_an_await(service: Service, worker: AgentWorker) -> None:
    """The handler gets CancelledError where it awaits, its `finally` runs, nothing is reported after."""
    seen: list[str] = []

    @worker.agent("agent-123")
    async def _(_: Task) -> AsyncGenerator[str, None]:
        try:
            yield "one"
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    async with running(worker):
        task_id = await service.send()
        assert [(await service.callback())["status"] for _ in range(2)] == ["running", "streaming"]
        await service.cancel(task_id)
        await wait_until(lambda: seen == ["cancelled", "finally"])

    assert await service.silent()


async def test_cancelling_interrupts_a_pending_yield(service: Service) -> None:
    """A handler whose chunk is still on its way gets CancelledError at its `yield`."""
    seen: list[str] = []
    chunk_is_out = asyncio.Event()

    async def handler(_: Task) -> AsyncGenerator[str, None]:
        try:
            yield "one"
        except asyncio.CancelledError:
            seen.append("cancelled at yield")
            raise
        finally:
            seen.append("finally")

    async def send(callback: bytes) -> None:
        if b"streaming" in callback:
            chunk_is_out.set()
            await asyncio.Event().wait()

    task = read_assignment(msgspec.json.encode(service.task("hi"))).task(None, NoLiaison())
    reports = Reports(task.task_id, 1, send)
    execution = Execution(handler, task, reports, structlog.get_logger(), deadline=Deadline(task.deadline))
    run = asyncio.create_task(execution.run())
    await chunk_is_out.wait()
    execution.cancel("cancelled")
    await run

    assert seen == ["cancelled at yield", "finally"]


async def test_a_handler_that_swallows_cancellation_is_not_heard(
    service: Service, worker: AgentWorker
) -> None:
    """Text, chunks and exceptions of a cancelled handler stay unreported, and the slot comes free."""
    returned: list[Task] = []

    @worker.agent("agent-text")
    async def _(task: Task) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            returned.append(task)
        return "too late"

    @worker.agent("agent-chunks")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            returned.append(task)
        yield "too late"

    @worker.agent("agent-raises")
    async def _(task: Task) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            returned.append(task)
            raise LookupError

    worker.concurrency = 1
    async with running(worker):
        for context in ("agent-text", "agent-chunks", "agent-raises"):
            task_id = await service.send(context=context)
            assert (await service.callback())["status"] == "running"
            await service.cancel(task_id)
        await wait_until(lambda: len(returned) == 3)

    assert await service.silent()


async def test_cancelled_while_it_waited(service: Service, worker: AgentWorker) -> None:
    """A task whose `cancel_key` exists when it is taken is not begun."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return task.message

    task = service.task("never")
    await service.cancel(task["task_id"])
    await service.push(msgspec.json.encode(task))
    with capture_logs() as logs:
        async with running(worker):
            await wait_until(lambda: any(line["event"] == "task_skipped" for line in logs))

    assert await service.silent()


async def test_past_its_deadline(service: Service, worker: AgentWorker) -> None:
    """A task that waited too long is skipped and logged."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return task.message

    with capture_logs() as logs:
        async with running(worker):
            task_id = await service.send(seconds=-1)
            await wait_until(lambda: any(line["event"] == "task_skipped" for line in logs))

    skipped = next(line for line in logs if line["event"] == "task_skipped")
    assert (skipped["task_id"], skipped["reason"]) == (task_id, "deadline")
    assert await service.silent()


async def test_the_deadline_stops_the_handler(service: Service, worker: AgentWorker) -> None:
    """When the deadline comes the handler is cancelled and says nothing more."""
    seen: list[str] = []

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("finally")
        return "never"

    async with running(worker):
        await service.send(seconds=2)
        assert (await service.callback())["status"] == "running"
        await wait_until(lambda: seen == ["finally"])

    assert await service.silent()


async def test_an_inner_cancellation_is_a_failure(service: Service, worker: AgentWorker) -> None:
    """CancelledError from the agent's own subtasks is a fault of the agent, not our cancellation."""

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        inner = asyncio.create_task(asyncio.Event().wait())
        inner.cancel()
        await inner
        return "never"

    async with running(worker):
        await service.send()
        assert (await service.ending())["result"]["error"]["code"] == "agent_failed"
