"""What docs/guarantees.md says of a Redis that dies: what it kept goes on, and of what was lost clients are told."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
    options = {"appendonly": "yes", "appendfsync": "no", "repl-diskless-sync-delay": "0"}
    with valkey_server(tmp_path / "valkey", options=options) as server:
        yield server


class Follower(NamedTuple):
    """A replica that takes the primary's place, and its address."""

    client: Any
    primary: ValkeyServer

    async def has_everything(self) -> None:
        """Returns once it has what the primary had when this was called."""
        primary: Any = redis.asyncio.Redis(port=self.primary.port)
        async with primary:
            written = (await primary.info("replication"))["master_repl_offset"]

        async def has_it() -> bool:
            told = await self.client.info("replication")
            return told["master_link_status"] == "up" and told["slave_repl_offset"] >= written

        await wait_until(has_it, 30)

    async def falls_behind(self) -> None:
        """From now on it gets nothing that the primary is told."""
        await self.client.execute_command("REPLICAOF", "NO", "ONE")

    async def takes_over(self) -> None:
        """The primary dies."""
        await self.falls_behind()
        self.primary.kill()
        await self.client.config_set("port", self.primary.port)


@pytest.fixture
async def follower(durable: ValkeyServer, tmp_path: Path) -> AsyncIterator[Follower]:
    """A replica that has caught up."""
    with valkey_server(tmp_path / "follower") as server:
        client: Any = redis.asyncio.Redis(port=server.port)
        async with client:
            await client.execute_command("REPLICAOF", "127.0.0.1", durable.port)
            following = Follower(client, durable)
            await following.has_everything()
            yield following


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

    async def goes_on_after(self, fault: Callable[[], Awaitable[None]]) -> None:
        """An answer in the middle of which it strikes: its viewer sees all of it, once, and hears of no loss."""
        accepted, task = await asked(self.caller, self.agent)
        await say(self.agent, task, ["a", "b"])
        await wait_until(lambda: self.viewer.offset == 4)
        await fault()
        await self.usable()
        await say(self.agent, task, ["c"], 2)
        await self.agent.report(task, "completed", result={})
        await wait_until(lambda: self.viewer.answers, 15)
        assert self.viewer.answers == {accepted["task_id"]: hash("abc")}
        assert (self.viewer.faults, self.viewer.absences) == ({}, [])


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

    async def restart() -> None:
        durable.kill()
        durable.start()

    await scene.goes_on_after(restart)


async def test_a_replica_that_has_everything_goes_on(scene: Scene, follower: Follower) -> None:
    """A failover without lag in the middle of an answer: positions hold, nobody is told of a loss."""

    async def fail_over() -> None:
        await follower.has_everything()
        await follower.takes_over()

    await scene.goes_on_after(fail_over)


async def test_what_a_replica_had_not_got_is_told(scene: Scene, follower: Follower) -> None:
    """A failover to a replica that lags: `recovered:false`, what it had not got is 404, and may be sent again."""
    viewer = scene.viewer
    await scene.answered("a b")
    await follower.has_everything()
    await follower.falls_behind()
    lost = await scene.answered("c d", KEY)
    await follower.takes_over()
    await scene.usable()
    await wait_until(lambda: viewer.unrecovered and viewer.connected, 15)
    assert (await scene.caller.get(f"/api/chat/tasks/{lost}")).status_code == 404
    assert await scene.answered("c d", KEY) != lost
    assert viewer.faults == {"unrecovered": 1}


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
