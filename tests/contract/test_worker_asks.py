"""An agent of the SDK asks, with a real service behind it; its worker may die while it waits (contract §5, §9)."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.contract.client import Caller, Tenant
from tests.contract.conftest import Connect, StartService
from tests.contract.exchange import ended
from tests.contract.questions import give
from tests.contract.test_http_tasks import reaches
from tests.servers import OrchestratorServer, base_environment, wait_until

from orchestrator.embedded import ValkeyServer

AGENTS: Final = """
import asyncio
from orchestrator.worker import AgentWorker, AskExpired

worker = AgentWorker(concurrency=1, chunk_interval=0)

@worker.agent({agent!r})
async def answer(task):
    if task.message == "hello":
        yield "hello"
        return
    try:
        first = await task.ask("Who?", {{"type": "string"}}, expires_in=float(task.metadata.get("open", 60)))
    except AskExpired:
        yield "nobody"
        return
    yield f"{{first}} "
    if task.message == "twice":
        yield str(await task.ask("How many?", {{"type": "integer"}}))
"""

StartWorker = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start_worker(tmp_path: Path, redis_server: ValkeyServer, tenant: Tenant) -> Iterator[StartWorker]:
    """Workers of the tenant's agent, with one slot and a lease of a second."""
    (tmp_path / "agents.py").write_text(AGENTS.format(agent=tenant.agent))
    environment = base_environment() | {"REDIS_URL": redis_server.url, "ORCHESTRATOR_LEASE": "1"}
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestrator", "worker", "agents:worker"]
        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=quiet, stderr=quiet))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def caller(start_service: StartService, connect: Connect, tenant: Tenant) -> Caller:
    """A frontend of a service of this test's own."""
    service: OrchestratorServer = start_service()
    return Caller(connect(service), tenant)


async def waits(caller: Caller, message: str = "once", **members: Any) -> dict[str, Any]:
    """A task whose agent has asked."""
    accepted = await caller.accepted(message, **members)
    await reaches(caller, accepted["task_id"], "input_required")
    return accepted


async def response(caller: Caller, task: dict[str, Any]) -> Any:
    """The answer of a task that has to complete."""
    ledger = await ended(caller, task["task_id"], within=20)
    assert ledger["status"] == "completed", ledger
    return ledger["result"]["response"]


async def test_slot_is_free_meanwhile(caller: Caller, start_worker: StartWorker) -> None:
    """The one slot of the worker serves others while a task waits for its user."""
    start_worker()
    task = await waits(caller)
    assert await response(caller, await caller.accepted("hello")) == "hello"
    assert (await give(caller, task, "Ada")).status_code == 200
    assert await response(caller, task) == "Ada "


async def test_nobody_answers(caller: Caller, start_worker: StartWorker) -> None:
    """The agent learns that the time is over, and goes on."""
    start_worker()
    task = await waits(caller, metadata={"open": 0.5})
    assert await response(caller, task) == "nobody"


async def test_killed_before_the_answer(caller: Caller, start_worker: StartWorker) -> None:
    """SIGKILL while it waits: the question stays, and the next attempt goes on with what is answered then."""
    killed = start_worker()
    task = await waits(caller)
    asked = (await caller.ledger(task["task_id"]))["input_required"]
    killed.kill()
    start_worker()
    await wait_until(lambda: _asked_again(caller, task), within=20)
    assert (await caller.ledger(task["task_id"]))["input_required"] == asked
    assert (await give(caller, task, "Ada")).status_code == 200
    assert await response(caller, task) == "Ada "


async def test_answered_while_nobody_runs_it(caller: Caller, start_worker: StartWorker) -> None:
    """SIGKILL, and the answer comes before the next attempt: it is kept for that."""
    killed = start_worker()
    task = await waits(caller)
    killed.kill()
    assert (await give(caller, task, "Ada")).status_code == 200
    start_worker()
    assert await response(caller, task) == "Ada "
    assert (await caller.ledger(task["task_id"]))["attempt"] == 2


async def test_killed_after_the_answer(caller: Caller, start_worker: StartWorker) -> None:
    """SIGKILL at the second question: the next attempt has the first answer at once, and asks only the second."""
    killed = start_worker()
    task = await waits(caller, "twice")
    assert (await give(caller, task, "Ada", question="1")).status_code == 200
    await wait_until(lambda: _asks(caller, task, "2"), within=10)
    killed.kill()
    start_worker()
    await wait_until(lambda: _asked_again(caller, task), within=20)
    assert (await caller.ledger(task["task_id"]))["input_required"]["question"] == "2"
    assert (await give(caller, task, 3)).status_code == 200
    assert await response(caller, task) == "Ada 3"


async def test_cancelled_while_it_waits(caller: Caller, start_worker: StartWorker) -> None:
    """A stop ends the waiting in the worker too: it takes what comes next."""
    start_worker()
    task = await waits(caller)
    assert (await caller.cancel(task["task_id"])).json()["status"] == "cancelled"
    assert await response(caller, await caller.accepted("hello")) == "hello"


async def _asks(caller: Caller, task: dict[str, Any], question: str) -> bool:
    asked = (await caller.ledger(task["task_id"]))["input_required"]
    return asked is not None and asked["question"] == question


async def _asked_again(caller: Caller, task: dict[str, Any]) -> bool:
    ledger = await caller.ledger(task["task_id"])
    return (ledger["status"], ledger["attempt"]) == ("input_required", 2)
