"""A Valkey that answers and refuses: nothing is accepted, nothing is left behind, and the service says so."""

import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import redis
from tests.contract.client import Agent, Caller, Tenant, problem, unique
from tests.faults.conftest import is_well
from tests.faults.redis_faults import REFUSALS, Break
from tests.servers import wait_until

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


@pytest.mark.parametrize("refuses", REFUSALS.values(), ids=REFUSALS)
async def test_refusal(
    refuses: Break, redis_server: ValkeyServer, client: Any, caller: Caller, agent: Agent, tenant: Tenant
) -> None:
    """Sends get 503 at once and leave no key; unhealthy and not ready within 5 s; all is well again by itself."""
    await caller.accepted("before")
    await agent.take()
    with refuses(redis_server):
        before = kept(client)
        for _ in range(3):
            answer = await caller.send(headers={"Idempotency-Key": unique("key")})
            problem(answer, 503, "unavailable")
        assert kept(client) == before
        began = time.monotonic()
        unhealthy = {"status": "unhealthy", "failing": ["redis"]}
        while not await says(caller.http, "/health", 503, unhealthy):
            assert time.monotonic() < began + 5, (await caller.http.get("/health")).text
        while not await says(
            caller.http, "/health/ready", 503, {"status": "not_ready", "failing": ["redis"]}
        ):
            assert time.monotonic() < began + 5, (await caller.http.get("/health/ready")).text
    await wait_until(lambda: is_well(caller.http), 15)
    sent = await caller.accepted("after")
    assert (await agent.take())["task_id"] == sent["task_id"]
    assert len((await caller.get(f"/api/chat/sessions/{caller.session_id}")).json()["tasks"]) == 2
