"""`task.messages()`: what users add to a task that runs (docs/agents.md)."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from tests.worker.service import Service, inbox_key, running

from orchestrator.worker import AgentWorker, Message, Task


async def test_messages_are_read_once_and_acknowledged(service: Service, worker: AgentWorker) -> None:
    """Each call gives what came since the last; the service hears at once whose messages were read."""
    gates = [asyncio.Event(), asyncio.Event()]
    seen: list[list[Message]] = []

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        for gate in gates:
            await gate.wait()
            seen.append(await task.messages())
        return ""

    async with running(worker):
        task_id = await service.send()
        assert (await service.callback())["status"] == "running"
        first = await service.steer(task_id, "also this", user_id="user-1", metadata={"n": 1})
        second = await service.steer(task_id, "and that")
        gates[0].set()
        took = await service.callback()
        assert (took["status"], took["attempt"], took["took"]) == ("running", 1, [first, second])
        third = await service.steer(task_id, "last")
        gates[1].set()
        assert (await service.callback())["took"] == [third]
        assert (await service.ending())["status"] == "completed"

    assert [[message.task_id for message in messages] for messages in seen] == [[first, second], [third]]
    message = seen[0][0]
    assert (message.message, message.user_id, message.metadata) == ("also this", "user-1", {"n": 1})
    assert message.created_at <= datetime.now(UTC)


async def test_many_messages_are_acknowledged_in_pieces(service: Service, worker: AgentWorker) -> None:
    """The service reads a hundred ids of one callback, so there are no more in it."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return str(len(await task.messages()))

    task = service.task("hi")
    sent = [await service.steer(task["task_id"], "more") for _ in range(230)]
    async with running(worker):
        await service.push(json.dumps(task))
        callbacks = await service.until_end()

    took = [callback["took"] for callback in callbacks if "took" in callback]
    assert [len(ids) for ids in took] == [100, 100, 30]
    assert [task_id for ids in took for task_id in ids] == sent
    assert callbacks[-1]["result"]["response"] == "230"


async def test_without_messages_nothing_is_said(service: Service, worker: AgentWorker) -> None:
    """Looking costs no callback."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return str(await task.messages())

    async with running(worker):
        await service.send()
        callbacks = await service.until_end()

    assert [callback["status"] for callback in callbacks] == ["running", "completed"]
    assert callbacks[-1]["result"]["response"] == "[]"


async def test_the_acknowledgement_keeps_its_place_in_the_text(service: Service, worker: AgentWorker) -> None:
    """What was yielded before the messages were read is sent before they are acknowledged."""
    worker.chunk_interval = 3600

    @worker.agent("agent-123")
    async def _(task: Task) -> AsyncGenerator[str, None]:
        yield "a"
        yield "b"
        await task.messages()
        yield "c"

    task = service.task("hi")
    await service.steer(task["task_id"], "also this")
    async with running(worker):
        await service.push(json.dumps(task))
        callbacks = await service.until_end()

    place = next(number for number, callback in enumerate(callbacks) if "took" in callback)
    text = [callback["result"]["delta"] for callback in callbacks[:place] if "seq" in callback]
    assert "".join(text) == "ab"


async def test_messages_that_left_the_inbox_hide_none(service: Service, worker: AgentWorker) -> None:
    """One that is cancelled or released meanwhile is gone; what comes after it is read all the same."""
    gates = [asyncio.Event(), asyncio.Event()]
    texts: list[str] = []

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        for gate in gates:
            await gate.wait()
            texts.extend(message.message for message in await task.messages())
        return ""

    async with running(worker):
        task_id = await service.send()
        await service.steer(task_id, "one")
        gates[0].set()
        assert "took" in [await service.callback() for _ in range(2)][1]
        await service.redis.delete(inbox_key(task_id))
        await service.steer(task_id, "two")
        gates[1].set()
        await service.ending()

    assert texts == ["one", "two"]


async def test_what_cannot_be_read_is_left_alone(service: Service, worker: AgentWorker) -> None:
    """It is not acknowledged either, so the service lets it run as a task of its own."""

    @worker.agent("agent-123")
    async def _(task: Task) -> str:
        return str([message.message for message in await task.messages()])

    task = service.task("hi")
    await service.redis.rpush(inbox_key(task["task_id"]), "no JSON", '{"task_id": "task-1"}')
    good = await service.steer(task["task_id"], "good")
    async with running(worker):
        await service.push(json.dumps(task))
        callbacks = await service.until_end()

    assert [callback.get("took") for callback in callbacks] == [None, [good], None]
    assert callbacks[-1]["result"]["response"] == "['good']"
