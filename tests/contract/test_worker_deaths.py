"""Workers die at random points, and every task ends exactly once all the same (contract §4, §5).

`WORKER_DEATHS_TASKS=500` makes it a long run; `WORKER_DEATHS_SEED` another one.
"""

import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.contract.client import Caller, Tenant
from tests.contract.conftest import Connect, NewTenant, StartService
from tests.contract.socket_client import ENDINGS, Frame, Socket, watch
from tests.servers import base_environment

from orchestrator.embedded import ValkeyServer

TASKS: Final = int(os.environ.get("WORKER_DEATHS_TASKS", "60"))
SEED: Final = int(os.environ.get("WORKER_DEATHS_SEED", "4"))
MESSAGE: Final = "one two three four five six"
WORKERS: Final = 3
PATIENCE: Final = 30.0
OUTSTANDING: Final = 60
"""Tasks at a time; nobody reads the socket while messages are sent."""

AGENTS: Final = """
import asyncio
import os
from orchestrator.worker import AgentWorker

worker = AgentWorker(concurrency=2, chunk_interval=0)

@worker.agent({agent!r})
async def answer(task):
    if task.message == "poison":
        os._exit(1)
    for word in task.message.split():
        yield word + " "
        await asyncio.sleep(0.03)
"""


class Crew:
    """Worker processes of which one is killed now and then, and replaced."""

    def __init__(self, directory: Path, redis_server: ValkeyServer, tenant: Tenant) -> None:
        (directory / "agents.py").write_text(AGENTS.format(agent=tenant.agent))
        self._directory = directory
        self._environment = {"REDIS_URL": redis_server.url, "ORCHESTRATOR_LEASE": "1"}
        self._processes = [self._start() for _ in range(WORKERS)]
        self.deaths = 0

    def kill(self, number: int) -> None:
        """SIGKILL one; another comes in its place."""
        self._end(self._processes[number])
        self._processes[number] = self._start()
        self.deaths += 1

    @property
    def living(self) -> int:
        """How many have not ended."""
        return sum(process.poll() is None for process in self._processes)

    def kill_all(self) -> None:
        """The end."""
        for process in self._processes:
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "worker", "agents:worker"],
            cwd=self._directory,
            env=base_environment() | self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()


@pytest.fixture
async def tenant(new_tenant: NewTenant) -> Tenant:
    """One that may send much at once."""
    return await new_tenant("enterprise")


@pytest.fixture
def crew(tmp_path: Path, redis_server: ValkeyServer, tenant: Tenant) -> Iterator[Crew]:
    """Workers of the tenant's agent."""
    crew = Crew(tmp_path, redis_server, tenant)
    yield crew
    crew.kill_all()


async def test_each_task_ends_once(
    start_service: StartService, connect: Connect, tenant: Tenant, crew: Crew
) -> None:
    """Whatever is killed: each task is completed once and whole, and the browser starts a lost answer anew."""
    chance = random.Random(SEED)
    deaths = sorted(chance.sample(range(TASKS, 6 * TASKS), TASKS // 10))
    service = start_service(max_attempts="50", max_requests_per_session="0")
    caller = Caller(connect(service), tenant)
    async with watch(service, caller) as socket:
        sent: list[str] = []
        ended = 0
        while ended < TASKS:
            if len(sent) < min(TASKS, ended + OUTSTANDING):
                sent.append((await caller.accepted(MESSAGE))["task_id"])
                continue
            frame = await socket.event(within=PATIENCE)
            ended += frame["type"] in ENDINGS
            if deaths and len(socket.events) >= deaths[0]:
                deaths.pop(0)
                crew.kill(chance.randrange(WORKERS))
        events = socket.events

    assert Counter(event["task_id"] for event in events if event["type"] in ENDINGS) == dict.fromkeys(sent, 1)
    assert crew.deaths == TASKS // 10
    retried = {event["task_id"] for event in events if event["data"].get("status") == "retrying"}
    assert retried
    shown = shown_at_last(events)
    for event in events:
        if event["type"] in ENDINGS:
            assert event["data"]["response"].split() == shown[event["task_id"]].split() == MESSAGE.split()
    for task_id in retried:
        ledger = await caller.ledger(task_id)
        assert (ledger["status"], ledger["attempt"] > 1) == ("completed", True)


async def test_a_task_that_kills_workers_ends(
    start_service: StartService, connect: Connect, tenant: Tenant, crew: Crew
) -> None:
    """After as many attempts as there may be it fails and says so, and the workers that are left go on."""
    service = start_service(max_attempts="2")
    caller = Caller(connect(service), tenant)
    async with watch(service, caller) as socket:
        poison = (await caller.accepted("poison"))["task_id"]
        ending = await ending_of(socket, poison)
        harmless = (await caller.accepted(MESSAGE))["task_id"]
        answer = await ending_of(socket, harmless)

    assert (ending["type"], ending["data"]["code"]) == ("error", "too_many_attempts")
    assert answer["data"]["status"] == "completed"
    assert (await caller.ledger(poison))["attempt"] == 2
    assert crew.living == WORKERS - 2


async def ending_of(socket: Socket, task_id: str) -> Frame:
    """How the task ends; workers that have just been started take their time."""
    while True:
        frame = await socket.event(within=PATIENCE)
        if frame["type"] in ENDINGS and frame["task_id"] == task_id:
            return frame


def shown_at_last(events: list[Frame]) -> dict[str, str]:
    """The text of each task as a browser has it in the end: it discards what it has on `retrying`."""
    shown: defaultdict[str, str] = defaultdict(str)
    for event in events:
        if event["data"].get("status") == "retrying":
            shown[event["task_id"]] = ""
        if event["type"] == "agent_chunk":
            shown[event["task_id"]] += event["data"]["delta"]
    return dict(shown)
