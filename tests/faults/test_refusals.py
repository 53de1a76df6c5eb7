"""A Valkey that answers and refuses: nothing is accepted, nothing is left behind, and the service says so."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import redis
from tests.contract.client import Agent, Caller, Tenant, problem, unique
from tests.contract.socket_client import watch
from tests.faults.conftest import is_well
from tests.faults.redis_faults import REFUSALS, Break, without_rights
from tests.servers import OrchestratorServer, wait_until

from orchestrator.embedded import ValkeyServer

OF_REPLICAS: Final = (b"{orchestrator}:", b"{prefix:", b"orchestrator:probe-", b"{dispatch}:looked:")
"""Keys that replicas write of themselves, whatever is sent."""


@pytest.fixture
def client(redis_server: ValkeyServer) -> Iterator[Any]:
    """Looks into the server; answers are bytes."""
    opened: Any = redis.Redis(port=redis_server.port)
    with opened:
        yield opened


def kept(client: Any) -> dict[bytes, bytes]:
    """Every key that has to do with tenants and tasks, with its value."""
    return {key: client.dump(key) for key in client.scan_iter(count=1000) if not key.startswith(OF_REPLICAS)}


async def says(http: httpx.AsyncClient, path: str, status: int, document: dict[str, Any]) -> bool:
    """Whether a health route answers so."""
    answer = await http.get(path)
    return (answer.status_code, answer.json()) == (status, document)


async def is_unfit(http: httpx.AsyncClient) -> bool:
    """Whether the service says that Redis is of no use to it."""
    failing = {"failing": ["redis"]}
    unhealthy = await says(http, "/health", 503, {"status": "unhealthy", **failing})
    return unhealthy and await says(http, "/health/ready", 503, {"status": "not_ready", **failing})


@pytest.mark.parametrize("refuses", REFUSALS.values(), ids=REFUSALS)
async def test_refusal(
    refuses: Break, redis_server: ValkeyServer, client: Any, caller: Caller, agent: Agent, tenant: Tenant
) -> None:
    """Sends get 503 at once and leave no key; unhealthy and not ready; all is well again by itself."""
    await caller.accepted("before")
    await agent.take()
    with refuses(redis_server):
        before = kept(client)
        for _ in range(3):
            answer = await caller.send(headers={"Idempotency-Key": unique("key")})
            problem(answer, 503, "unavailable")
        assert kept(client) == before
        await wait_until(lambda: is_unfit(caller.http), 15)
    await wait_until(lambda: is_well(caller.http), 15)
    sent = await caller.accepted("after")
    assert (await agent.take())["task_id"] == sent["task_id"]
    assert len((await caller.get(f"/api/chat/sessions/{caller.session_id}")).json()["tasks"]) == 2


@pytest.mark.parametrize("rule", ["-exists", "-zadd", "-pexpireat", "-rpush", "-fcall"])
async def test_a_command_that_is_not_granted(
    rule: str, redis_server: ValkeyServer, client: Any, caller: Caller
) -> None:
    """A script that is stopped half way: no send says that nothing was done when something was, and none follows."""
    with without_rights(redis_server, rule):
        before = kept(client)
        first = await caller.send()
        problem(first, 503, first.json()["code"])
        untouched = kept(client) == before
        assert first.json()["code"] == ("unavailable" if untouched else "outcome_unknown")
        between = kept(client)
        for _ in range(3):
            problem(await caller.send(), 503, "unavailable")
        assert kept(client) == between
        await wait_until(lambda: is_unfit(caller.http), 15)
    await wait_until(lambda: is_well(caller.http), 15)
    sent = await caller.accepted("after")

    async def queued() -> bool:
        return await caller.status(sent["task_id"]) == "queued"

    await wait_until(queued)


async def test_no_right_to_publish(
    redis_server: ValkeyServer, service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Sends are accepted and their events reach sockets; degraded, and not ready, until the right is given back."""
    async with watch(service, caller) as socket:
        with without_rights(redis_server, "resetchannels"):

            async def degraded() -> bool:
                failing = {"failing": ["delivery"]}
                ready = await says(caller.http, "/health/ready", 503, {"status": "not_ready", **failing})
                return ready and await says(caller.http, "/health", 200, {"status": "degraded", **failing})

            await wait_until(degraded, 15)
            sent = await caller.accepted()
            await agent.complete(await agent.take())
            await socket.ending(sent["task_id"])
        await wait_until(lambda: is_well(caller.http), 15)
