"""What docs/guarantees.md says of a Redis that dies: a kill loses nothing; of what a disk lost clients are told."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
import redis.asyncio
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.exchange import asked, say
from tests.servers import orchestrator_server, valkey_server, wait_until
from tests.viewer import Viewer

from orchestrator.embedded import ValkeyServer

TENANT: Final = Tenant("tenant-a", "enterprise", "agent-a")
SESSION: Final = "s-1"
KEY: Final = {"Idempotency-Key": "second"}


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Valkey that writes to its file before it answers, to be killed."""
    # With `everysec` a write may be held back while the disk is busy; with `no` the kernel has it at once.
    options = {"appendonly": "yes", "appendfsync": "no"}
    with valkey_server(tmp_path / "valkey", options=options) as server:
        yield server


class Scene(NamedTuple):
    """One conversation, all of whose ends are at hand."""

    caller: Caller
    agent: Agent
    viewer: Viewer

    async def answered(self, text: str, headers: dict[str, Any] | None = None) -> str:
        """A message whose answer the viewer has seen; its task."""
        accepted = await self.caller.accepted(headers=headers)
        task = await self.agent.take()
        await say(self.agent, task, text.split())
        await self.agent.report(task, "completed", result={})
        await wait_until(lambda: self.viewer.endings[accepted["task_id"]], 15)
        return accepted["task_id"]

    async def usable(self) -> None:
        """Returns once the service works with the server that came back."""

        async def reads() -> bool:
            return (await self.caller.get(f"/api/chat/sessions/{SESSION}")).status_code == 200

        await wait_until(reads, 15)


@pytest.fixture
async def scene(durable: ValkeyServer, log_path: Path) -> AsyncIterator[Scene]:
    """A service without a database, a caller and a viewer of one session, and its agent."""
    environment = {"REDIS_URL": durable.url, "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false"}
    with orchestrator_server(environment, log_path) as server:
        viewer = Viewer(SESSION, TENANT, lambda: server.ws_url)
        async with (
            redis.asyncio.Redis(port=durable.port, decode_responses=True) as client,
            httpx.AsyncClient(base_url=server.url, timeout=10) as http,
        ):
            viewer.start()
            await wait_until(lambda: viewer.connected, 15)
            yield Scene(Caller(http, TENANT, SESSION), Agent(client, TENANT), viewer)
            await viewer.stop()


async def test_a_killed_redis_has_everything(scene: Scene, durable: ValkeyServer) -> None:
    """SIGKILL in the middle of an answer: sockets stay, positions hold, the answer goes on and ends once."""
    viewer = scene.viewer
    accepted, task = await asked(scene.caller, scene.agent)
    await say(scene.agent, task, ["a", "b"])
    await wait_until(lambda: viewer.offset == 4)
    durable.kill()
    durable.start()
    await scene.usable()
    await say(scene.agent, task, ["c"], 2)
    await scene.agent.report(task, "completed", result={})
    await wait_until(lambda: viewer.answers, 15)
    assert viewer.answers == {accepted["task_id"]: hash("abc")}
    assert (viewer.faults, viewer.absences) == ({}, [])


async def test_what_was_lost_is_told(scene: Scene, durable: ValkeyServer, tmp_path: Path) -> None:
    """The end of the file is gone: its readers get `recovered:false`, its tasks 404, its keys accept a message anew."""
    viewer = scene.viewer
    first = await scene.answered("a b")
    (file,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    kept, size = viewer.reached, file.stat().st_size
    lost = await scene.answered("c d", KEY)
    durable.kill()
    with file.open("r+b") as end:
        end.truncate(size)
    durable.start()
    await scene.usable()
    await wait_until(lambda: viewer.unrecovered and viewer.connected, 15)
    assert viewer.reached == kept
    assert (await scene.caller.get(f"/api/chat/tasks/{lost}")).status_code == 404
    left = (await scene.caller.get(f"/api/chat/sessions/{SESSION}")).json()
    assert [(task["task_id"], task["status"]) for task in left["tasks"]] == [(first, "completed")]
    assert await scene.answered("c d", KEY) != lost
    assert viewer.faults == {"unrecovered": 1}
