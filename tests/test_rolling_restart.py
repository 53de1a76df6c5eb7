"""A deploy replaces every replica under load and nobody misses anything; a stop ends in time, whoever hangs on."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import redis.asyncio
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.exchange import asked, say
from tests.security.hostile_peers import crowd, kinds, streaming
from tests.servers import OrchestratorServer, orchestrator_server, wait_until
from tests.viewer import Viewer

from orchestrator.embedded import ValkeyServer

TENANT: Final = Tenant("tenant-a", "enterprise", "agent-a")
VIEWERS: Final = 20
DRAIN_SECONDS: Final = 4
MORE_SECONDS: Final = 10
"""What docs/operations.md asks to be given on top of the drain."""

Start = Callable[[], OrchestratorServer]


@pytest.fixture
def start(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Start]:
    """Starts replicas of one deployment that has no database."""
    environment = {
        "REDIS_URL": valkey.url,
        "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false",
        "ORCHESTRATOR_DRAIN_TIMEOUT": str(DRAIN_SECONDS),
    }
    numbers = count(1)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(orchestrator_server(environment, tmp_path / f"{next(numbers)}.log"))


@pytest.fixture
async def agent(valkey: ValkeyServer) -> AsyncIterator[Agent]:
    """The tenant's agent."""
    async with redis.asyncio.Redis(port=valkey.port, decode_responses=True) as client:
        yield Agent(client, TENANT)


async def test_a_rolling_restart_loses_nothing(start: Start, agent: Agent) -> None:
    """Both replicas are replaced while an agent streams: each viewer has each event once, and the answer whole.

    Whoever is sent away is told by 1012 when to come back, after the replica has said that it is not ready.
    """
    replicas = [start(), start()]
    ready_at_a_close: list[bool] = []
    async with watching(replicas, lambda: ready_at_a_close.append(replicas[0].ready())) as viewers:
        async with httpx.AsyncClient(base_url=replicas[0].url) as http:
            callers = (Caller(http, TENANT, viewer.session) for viewer in viewers)
            tasks = [(await asked(caller, agent))[1] for caller in callers]
        async with speaking(agent, tasks) as said:
            for _ in range(2):
                replicas.append(await asyncio.to_thread(start))
                ready_at_a_close.clear()
                assert await asyncio.to_thread(replicas[0].stop) == 0
                assert not any(ready_at_a_close)
                del replicas[0]
                await wait_until(lambda: all(viewer.connected for viewer in viewers), 20)
        for task in tasks:
            await agent.report(task, "completed", result={})
        await wait_until(lambda: all(viewer.answers for viewer in viewers), 20)
    absences = [absence for viewer in viewers for absence in viewer.absences]
    assert len(absences) >= VIEWERS
    assert {(absence.code, *json.loads(absence.reason)) for absence in absences} == {(1012, "retry_after_ms")}
    assert [viewer.faults for viewer in viewers] == [{}] * VIEWERS
    answers = [{task["task_id"]: hash("".join(said))} for task in tasks]
    assert [viewer.answers for viewer in viewers] == answers


@asynccontextmanager
async def watching(
    replicas: Sequence[OrchestratorServer], on_close: Callable[[], None]
) -> AsyncGenerator[list[Viewer]]:
    """So many viewers, each of a session of its own, on any of the replicas."""
    viewers = [
        Viewer(f"s-{number}", TENANT, lambda: random.choice(replicas).ws_url) for number in range(VIEWERS)
    ]
    for viewer in viewers:
        viewer.on_close = lambda code, _: on_close() if code == 1012 else None
        viewer.start()
    try:
        await wait_until(lambda: all(viewer.connected for viewer in viewers), 20)
        yield viewers
    finally:
        await asyncio.gather(*(viewer.stop() for viewer in viewers))


@asynccontextmanager
async def speaking(agent: Agent, tasks: Sequence[dict[str, Any]]) -> AsyncGenerator[list[str]]:
    """While all tasks get one piece after the other; the pieces."""
    said: list[str] = []
    over = asyncio.Event()

    async def speak() -> None:
        while not over.is_set():
            said.append(f"{len(said)} ")
            for task in tasks:
                await say(agent, task, said[-1:], len(said) - 1)
            await asyncio.sleep(0.1)

    talk = asyncio.create_task(speak())
    try:
        yield said
    finally:
        over.set()
        await talk


async def test_a_stop_waits_for_nobody(start: Start, agent: Agent) -> None:
    """Sockets and streams that read nothing, requests that never end: a stopped replica ends in time, with 0."""
    server = start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        caller = Caller(http, TENANT)
        hostile = kinds(caller.session_id, TENANT.id, TENANT.tier)
        async with streaming(caller, agent):
            with crowd(server.port, hostile * 3):
                assert await asyncio.to_thread(server.stop, DRAIN_SECONDS + MORE_SECONDS) == 0
