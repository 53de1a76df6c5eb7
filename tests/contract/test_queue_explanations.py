"""A queue explains itself: why a task waits, how many come first, and how long yet, for users and for operators."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Agent, Caller
from tests.contract.conftest import Command, NewTenant
from tests.contract.exchange import asked, ended
from tests.contract.socket_client import Socket, watch
from tests.servers import OrchestratorServer, wait_until

from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker

EARLIER: Final = "an earlier message of this session"


class Gate:
    """A worker of the SDK in this process, whose runs last until the test lets them end."""

    def __init__(self, redis_url: str, agent: str, concurrency: int) -> None:
        self.worker = AgentWorker(concurrency, redis_url, lease=5)
        self.worker.agent(agent)(self._answer)
        self.running: dict[str, asyncio.Event] = {}

    async def _answer(self, task: Any) -> str:
        if task.message == "at once":
            return "done"
        self.running[task.message] = asyncio.Event()
        await self.running[task.message].wait()
        return "done"

    async def runs(self, message: str) -> None:
        """Returns once the message is being answered."""
        await wait_until(lambda: message in self.running)

    def end(self, message: str) -> None:
        """The message is answered."""
        self.running[message].set()


OpenGate = Callable[..., Any]


@pytest.fixture
def gate(redis_server: ValkeyServer) -> OpenGate:
    """Opens gates in front of an agent."""

    @asynccontextmanager
    async def opened(agent: str, concurrency: int = 1) -> AsyncGenerator[Gate]:
        made = Gate(redis_server.url, agent, concurrency)
        running = asyncio.create_task(made.worker.run())
        try:
            yield made
        finally:
            for event in made.running.values():
                event.set()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return opened


async def wait_of(caller: Caller, task: str) -> tuple[int | None, str | None]:
    """Place and reason, as the ledger says them."""
    ledger = await caller.ledger(task)
    return ledger["queue_position"], ledger["waiting_for"]


async def row_of(caller: Caller) -> dict[str, Any]:
    """The row of the caller's queue."""
    rows = (await caller.http.get("/metrics/queues")).json()["queues"]
    return next(row for row in rows if row["name"] == caller.tenant.queue())


async def told(socket: Socket, task: str) -> dict[str, Any]:
    """What the socket's next update says about why the task waits."""
    while True:
        frame = await socket.event()
        if frame["task_id"] == task and "waiting_for" in frame["data"]:
            return frame["data"]


async def soon(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What the condition gives, once that is something."""
    found: list[Any] = []

    async def holds() -> bool:
        found.append(await condition())
        return bool(found[-1])

    await wait_until(holds)
    return found[-1]


async def test_no_worker(
    caller: Caller, service: OrchestratorServer, http: httpx.AsyncClient, orchestrator: Command
) -> None:
    """Where no agent is there, the user's socket, the ledger, the metrics and the command say so."""
    reason = f"no worker for {caller.tenant.agent}"
    async with watch(service, caller) as socket:
        first, second = [(await caller.accepted())["task_id"] for _ in range(2)]
        update = {"status": "queued", "attempt": 1, "eta_seconds": None, "waiting_for": reason}
        assert await told(socket, second) == update | {"queue_position": 2, "waiting_for": "1 ahead"}
        assert await told(socket, first) == update | {"queue_position": 1}
    assert await wait_of(caller, second) == (2, reason)
    row = await row_of(caller)
    assert (row["workers"], row["running"], row["waiting_for"]) == (0, 0, reason)
    assert reason in (await orchestrator("queues")).stdout
    listed = json.loads((await orchestrator("queues", "--json")).stdout)
    assert [found["waiting_for"] for found in listed if found["name"] == row["name"]] == [reason]
    assert f"for {reason}" in (await orchestrator("tasks", "show", first)).stdout


async def test_busy_worker(caller: Caller, service: OrchestratorServer, gate: OpenGate) -> None:
    """Behind a busy worker of the SDK a task has its place in the fair order, and a time once runs are known."""
    async with watch(service, caller) as socket, gate(caller.tenant.agent) as worker:
        await ended(caller, (await caller.accepted("at once"))["task_id"])
        await caller.accepted("running")
        await worker.runs("running")
        first, second = [(await caller.accepted(name))["task_id"] for name in ("first", "second")]

        data = await told(socket, second)
        assert (data["queue_position"], data["waiting_for"]) == (2, "1 ahead")
        low, high = data["eta_seconds"]
        assert 0 <= low < high
        assert await wait_of(caller, first) == (1, "a free worker")
        row = await soon(lambda: _running_row(caller))
        assert (row["workers"], row["running"], row["waiting_for"]) == (1, 1, None)
        assert len(row["eta_seconds"]) == 2

        worker.end("running")
        await worker.runs("first")
        assert (await socket.until("task_update", task=first, status="running"))["data"].keys() == {
            "status",
            "attempt",
        }
        assert await wait_of(caller, first) == (None, None)


async def _running_row(caller: Caller) -> dict[str, Any] | None:
    """The row of the caller's queue, once it has a running task; what runs is told once a second."""
    row = await row_of(caller)
    return row if row["running"] else None


async def test_capped_tenant(http: httpx.AsyncClient, new_tenant: NewTenant, gate: OpenGate) -> None:
    """A tenant at its own cap waits for itself, though workers are free; with its first messages already."""
    caller = Caller(http, await new_tenant(max_running=1))
    async with gate(caller.tenant.agent, concurrency=4) as worker:
        await caller.accepted("one")
        waiting = (await caller.accepted("two"))["task_id"]
        await worker.runs("one")
        await wait_until(lambda: _says(caller, waiting, (1, "tenant concurrency 1/1")))
        assert list(worker.running) == ["one"]
        worker.end("one")
        await worker.runs("two")


async def _says(caller: Caller, task: str, expected: tuple[int | None, str | None]) -> bool:
    return await wait_of(caller, task) == expected


async def test_plain_agent(caller: Caller, agent: Agent) -> None:
    """An agent with two commands: the place is that of its list, the time follows from what it began of late."""
    _, task = await asked(caller, agent)
    await agent.report(task, "running")
    first, second = [(await caller.accepted())["task_id"] for _ in range(2)]
    ledger = await soon(lambda: _with_time(caller, second))
    assert (ledger["queue_position"], ledger["waiting_for"]) == (2, "1 ahead")
    assert await wait_of(caller, first) == (1, None)
    row = await row_of(caller)
    assert (row["workers"], row["running"], row["waiting_for"]) == (None, 1, None)
    assert 0.5 < row["rate_per_minute"] <= 1
    assert row["eta_seconds"][0] < row["eta_seconds"][1]

    await agent.complete(task)
    await ended(caller, task["task_id"])
    await wait_until(lambda: _nothing_runs(caller))


async def _with_time(caller: Caller, task: str) -> dict[str, Any] | None:
    ledger = await caller.ledger(task)
    return ledger if ledger["eta_seconds"] else None


async def _nothing_runs(caller: Caller) -> bool:
    return (await row_of(caller))["running"] == 0


async def test_next_attempt(caller: Caller, agent: Agent) -> None:
    """A task that is tried again later says when."""
    accepted, task = await asked(caller, agent)
    await agent.report(task, "failed", retry=True, attempt=1)
    second = await agent.take()
    assert (second["task_id"], second["attempt"]) == (accepted["task_id"], 2)
    await agent.report(second, "failed", retry=True, attempt=2)

    async def says_when() -> bool:
        reason = (await caller.ledger(accepted["task_id"]))["waiting_for"]
        return bool(re.fullmatch("the next attempt in [12] s", reason or ""))

    await wait_until(says_when)
    assert (await agent.take())["attempt"] == 3


async def test_earlier_message(caller: Caller, agent: Agent) -> None:
    """A message that waits its turn in its session says so, and has no place in the queue yet."""
    accepted, task = await asked(caller, agent)
    held = (await caller.accepted(turn_policy="queue"))["task_id"]
    assert await wait_of(caller, held) == (None, EARLIER)
    view = (await caller.get(f"/api/chat/sessions/{caller.session_id}")).json()
    assert [ledger["waiting_for"] for ledger in view["tasks"]] == [EARLIER, None]
    await agent.complete(task)
    await ended(caller, accepted["task_id"])
    await wait_until(lambda: _says(caller, held, (1, None)))
