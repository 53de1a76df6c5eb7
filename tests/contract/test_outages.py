"""Redis or the database away: nothing is accepted by half, and the answer comes in time (contract §3, §6)."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.contract.client import Agent, Caller, Tenant, problem, unique
from tests.contract.conftest import Connect, StartService
from tests.contract.gate import gate
from tests.servers import ClusterServer, valkey_server, wait_until

from orchestrator.embedded import ValkeyServer


async def refused_in_time(caller: Caller, *codes: str) -> httpx.Response:
    """A send has to get 503 with one of these codes and `Retry-After`, within 5 s."""
    began = time.monotonic()
    answer = await caller.send()
    assert time.monotonic() - began < 5.2
    code = answer.json()["code"]
    assert code in codes
    problem(answer, 503, code)
    assert int(answer.headers["retry-after"]) >= 1
    return answer


async def healthy(http: httpx.AsyncClient) -> bool:
    """Whether the service says so."""
    return (await http.get("/health")).json() == {"status": "healthy"}


@pytest.fixture
def own_valkey(redis_server: ValkeyServer, tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Valkey of this test's own, of the same kind as the shared one, to be killed."""
    cluster = isinstance(redis_server, ClusterServer)
    with valkey_server(tmp_path / "valkey", cluster=cluster) as server:
        yield server


async def test_redis_is_away(
    own_valkey: ValkeyServer, tenant: Tenant, start_service: StartService, connect: Connect
) -> None:
    """503 `unavailable` for all that needs it, 503 `unhealthy`, live but not ready; then all is as before."""
    http = connect(start_service(redis_url=own_valkey.url))
    caller = Caller(http, tenant)
    sent = await caller.accepted()
    own_valkey.kill()

    async def noticed() -> bool:
        return (await http.get("/health")).status_code == 503

    await wait_until(noticed, within=15)  # before, nobody knows what becomes of a send
    await refused_in_time(caller, "unavailable")
    problem(await caller.get(f"/api/chat/tasks/{sent['task_id']}"), 503, "unavailable")
    for path in ("/health", "/api/chat/health", "/ws/health"):
        answer = await http.get(path)
        assert answer.status_code == 503
        assert answer.json() == {"status": "unhealthy", "failing": ["redis"]}
    assert (await http.get("/health/live")).status_code == 200
    assert (await http.get("/health/ready")).status_code == 503
    own_valkey.start()

    async def accepted() -> bool:
        return (await caller.send()).status_code == 202

    await wait_until(accepted, within=15)
    await wait_until(lambda: healthy(http), within=15)


async def test_redis_hangs(
    own_valkey: ValkeyServer, tenant: Tenant, start_service: StartService, connect: Connect
) -> None:
    """No answer from Redis: 503 within 5 s; what was `unavailable` is not carried out when it wakes up."""
    caller = Caller(connect(start_service(redis_url=own_valkey.url)), tenant)
    await caller.accepted()
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        codes = [(await refused_in_time(caller, "unavailable", "outcome_unknown")).json()["code"]]
        assert (await caller.http.get("/health/live")).status_code == 200
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)
    await wait_until(lambda: healthy(caller.http), within=15)
    view = (await caller.get(f"/api/chat/sessions/{caller.session_id}")).json()
    assert len(view["tasks"]) <= 1 + codes.count("outcome_unknown")


async def test_the_connection_breaks_after_the_request(
    tmp_path: Path, tenant: Tenant, start_service: StartService, connect: Connect
) -> None:
    """503 `outcome_unknown` names the task; a retry under the same key finds it, accepted once."""
    with valkey_server(tmp_path / "single") as valkey:
        async with gate(lambda: asyncio.open_connection("127.0.0.1", valkey.port)) as door:
            url = f"redis://127.0.0.1:{door.port}/0"
            server = await asyncio.to_thread(start_service, redis_url=url)
            caller, message, key = Caller(connect(server), tenant), unique("message"), unique("key")
            await caller.accepted()
            door.shut_after(message.encode())
            answer = await caller.send(message, {"Idempotency-Key": key})
            problem(answer, 503, "outcome_unknown")
            assert int(answer.headers["retry-after"]) >= 1
            door.open()
            await wait_until(lambda: healthy(caller.http), within=15)
            again = await caller.send(message, {"Idempotency-Key": key})
            assert again.status_code == 202, again.text
            assert again.headers["idempotency-replayed"] == "true"
            assert again.json()["task_id"] == answer.json()["task_id"]


async def test_a_task_outlives_a_replica(
    tenant: Tenant, start_service: StartService, connect: Connect, redis_client: object
) -> None:
    """What was answered with 202 ends once, though the server that accepted it was killed."""
    server = start_service()
    caller = Caller(connect(server), tenant)
    sent = await caller.accepted()
    server.kill()
    other = Caller(connect(start_service()), tenant, caller.session_id)
    agent = Agent(redis_client, tenant)
    await agent.complete(await agent.take(within=15))

    async def completed() -> bool:
        return await other.status(sent["task_id"]) == "completed"

    await wait_until(completed, within=15)
    assert await agent.redis.llen(agent.queue) == 0
