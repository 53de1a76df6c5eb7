"""Turn policies with a worker of the SDK: it is stopped, or hears what was said meanwhile (contract §3, §9)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contract.client import Caller
from tests.contract.exchange import ended
from tests.contract.test_turn_policies import merged
from tests.servers import wait_until

from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker, Task


class Writer:
    """An agent that writes until it is told to stop, and reads what it is told meanwhile."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.go_on = asyncio.Event()

    async def answer(self, task: Task) -> str:
        """The message, and what was added to it."""
        self.events.append(("begun", task.message))
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.events.append(("cancelled", task.message))
            raise
        added = [message.message for message in await task.messages()]
        return " and ".join([task.message, *added])


@pytest.fixture
async def writer(redis_server: ValkeyServer, caller: Caller) -> AsyncIterator[Writer]:
    """The test's agent, on a worker in this process."""
    written = Writer()
    worker = AgentWorker(concurrency=2, redis_url=redis_server.url)
    worker.agent(caller.tenant.agent)(written.answer)
    running = asyncio.create_task(worker.run())
    yield written
    written.go_on.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def happens(writer: Writer, event: str, message: str) -> None:
    """Returns once the agent has come that far."""
    await wait_until(lambda: (event, message) in writer.events, 15)


async def test_interrupted(caller: Caller, writer: Writer) -> None:
    """The running coroutine is cancelled, and the new message is begun."""
    first = (await caller.accepted("old"))["task_id"]
    await happens(writer, "begun", "old")
    second = (await caller.accepted("new", turn_policy="interrupt"))["task_id"]
    await happens(writer, "cancelled", "old")
    await happens(writer, "begun", "new")
    writer.go_on.set()
    assert (await ended(caller, second))["result"]["response"] == "new"
    assert (await caller.ledger(first))["code"] == "superseded"


async def test_one_after_the_other(caller: Caller, writer: Writer) -> None:
    """With a place to spare, a held message is begun only when the one before has ended."""
    first = (await caller.accepted("one"))["task_id"]
    await happens(writer, "begun", "one")
    second = (await caller.accepted("two", turn_policy="queue"))["task_id"]
    other = Caller(caller.http, caller.tenant)
    await other.accepted("elsewhere")
    await happens(writer, "begun", "elsewhere")
    assert ("begun", "two") not in writer.events
    writer.go_on.set()
    assert (await ended(caller, second))["status"] == "completed"
    ledgers = [(await caller.ledger(task))["timeline"] for task in (first, second)]
    assert ledgers[0]["ended_at"] <= ledgers[1]["started_at"]


async def test_steered(caller: Caller, writer: Writer) -> None:
    """What the agent reads is answered with its own message, and ends as merged into that task."""
    target = (await caller.accepted("tea"))["task_id"]
    await happens(writer, "begun", "tea")
    added: list[dict[str, Any]] = [
        await caller.accepted(text, turn_policy="steer") for text in ("milk", "sugar")
    ]
    writer.go_on.set()
    assert (await ended(caller, target))["result"]["response"] == "tea and milk and sugar"
    for accepted in added:
        ledger = await ended(caller, accepted["task_id"])
        assert ledger["error"] == {n: v for n, v in merged(target).items() if n != "status"}
