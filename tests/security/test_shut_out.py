"""Who is revoked or suspended is out, at every replica (contract §6)."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.contract.client import Agent, Tenant, problem
from tests.contract.conftest import Command, Connect, NewTenant
from tests.contract.event_stream import events
from tests.contract.exchange import asked, ended
from tests.contract.socket_client import Socket, closing, dial, socket_url
from tests.security.marks import BOTH
from tests.security.minting import HS256
from tests.security.user import User, attend, stays, stream_ends
from tests.servers import OrchestratorServer, orchestrator_server, wait_until

pytestmark = BOTH


@pytest.fixture(scope="module")
def second(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OrchestratorServer]:
    """Another replica of the deployment that `service` is of."""
    log: Path = tmp_path_factory.mktemp("second") / "server.log"
    with orchestrator_server(environment, log) as server:
        yield server


@asynccontextmanager
async def everywhere(user: User, *servers: OrchestratorServer) -> AsyncGenerator[list[Socket]]:
    """A socket of the user at each server."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(attend(server, user)) for server in servers]


async def test_a_revoked_subject(
    service: OrchestratorServer,
    second: OrchestratorServer,
    connect: Connect,
    http: httpx.AsyncClient,
    tenant: Tenant,
    orchestrator: Command,
) -> None:
    """Loses sockets and streams at every replica, and gets in nowhere; others of the tenant stay."""
    issued = time.time()
    eve = User(http, tenant, "eve", iat=issued)
    ada = User(http, tenant, "ada", iat=issued)
    ticket = (await eve.ask("POST", "/api/auth/ticket", {"X-Session-ID": eve.session_id})).json()["ticket"]
    async with (
        everywhere(eve, service, second) as sockets,
        everywhere(ada, service, second) as others,
        events(http, eve.session_id, eve.credential) as stream,
    ):
        await orchestrator("token", "revoke", "--tenant", tenant.id, "--sub", "eve")
        codes = await asyncio.gather(*(socket.closing(5) for socket in sockets))
        assert [code for code, _ in codes] == [4401, 4401]
        await stream_ends(stream)
        await stays(*others)
    for server in (service, second):
        there = eve.at(connect(server))
        problem(await there.get("/api/chat/stats"), 401, "unauthorized")
        problem(await there.send(), 401, "unauthorized")
        for url, headers in (
            (socket_url(server, eve.session_id), eve.credential),
            (socket_url(server, eve.session_id, ticket=ticket), {}),
        ):
            async with dial(url, additional_headers=headers) as socket:
                assert (await closing(socket))[0] == 4401
        assert (await ada.at(connect(server)).send()).status_code == 202


async def test_a_subject_may_come_back(
    http: httpx.AsyncClient, tenant: Tenant, orchestrator: Command
) -> None:
    """Tokens issued after the revocation are good; one that does not say when it was issued is older."""
    await orchestrator("token", "revoke", "--tenant", tenant.id, "--sub", "eve")
    revoked = time.time()
    await wait_until(lambda: int(time.time()) > revoked)

    async def is_void() -> bool:
        return (await User(http, tenant, "eve", iat=revoked - 60).get("/api/chat/stats")).status_code == 401

    await wait_until(is_void)
    problem(await User(http, tenant, "eve").get("/api/chat/stats"), 401, "unauthorized")
    assert (await User(http, tenant, "eve", iat=int(time.time())).get("/api/chat/stats")).status_code == 200


async def test_a_revoked_socket_is_not_refreshed(
    service: OrchestratorServer, http: httpx.AsyncClient, tenant: Tenant, orchestrator: Command
) -> None:
    """Another old token of the revoked subject does not keep anything open."""
    eve = User(http, tenant, "eve", iat=time.time())
    old = HS256.of(tenant, "eve", iat=time.time() - 60, exp=time.time() + 900)
    await orchestrator("token", "revoke", "--tenant", tenant.id, "--sub", "eve")

    async def is_void() -> bool:
        return (await eve.get("/api/chat/stats")).status_code == 401

    await wait_until(is_void)
    problem(
        await eve.http.get("/api/chat/stats", headers={"Authorization": f"Bearer {old}"}), 401, "unauthorized"
    )


async def test_the_same_name_in_another_tenant(
    service: OrchestratorServer,
    http: httpx.AsyncClient,
    tenant: Tenant,
    new_tenant: NewTenant,
    orchestrator: Command,
) -> None:
    """A subject is one of its tenant: its namesake elsewhere keeps everything."""
    namesake = User(http, await new_tenant(), "eve", iat=time.time())
    eve = User(http, tenant, "eve", iat=time.time())
    async with attend(service, namesake) as kept, attend(service, eve) as lost:
        await orchestrator("token", "revoke", "--tenant", tenant.id, "--sub", "eve")
        assert (await lost.closing(5))[0] == 4401
        await stays(kept)
    await namesake.accepted()


async def test_a_revocation_outlives_the_servers(
    environment: dict[str, str],
    tmp_path: Path,
    connect: Connect,
    http: httpx.AsyncClient,
    tenant: Tenant,
    orchestrator: Command,
) -> None:
    """A replica that starts later knows it before it lets anybody in."""
    eve = User(http, tenant, "eve", iat=time.time())
    await orchestrator("token", "revoke", "--tenant", tenant.id, "--sub", "eve")
    with orchestrator_server(environment, tmp_path / "late.log") as late:
        problem(await eve.at(connect(late)).get("/api/chat/stats"), 401, "unauthorized")


async def test_a_suspended_tenant(
    service: OrchestratorServer,
    second: OrchestratorServer,
    http: httpx.AsyncClient,
    connect: Connect,
    new_tenant: NewTenant,
    redis_client: Any,
    orchestrator: Command,
) -> None:
    """Loses its sockets at every replica with 4403; its open tasks end as `suspended`; another tenant's stay."""
    tenant, neighbour = await new_tenant(), User(http, await new_tenant())
    user, agent = User(http, tenant), Agent(redis_client, tenant)
    _, running = await asked(user, agent)
    await agent.report(running, "running")
    waiting = await user.accepted()
    async with (
        everywhere(user, service, second) as sockets,
        everywhere(neighbour, service, second) as others,
        events(http, user.session_id, user.credential) as stream,
    ):
        await orchestrator("tenants", "suspend", tenant.id)
        codes = await asyncio.gather(*(socket.closing(5) for socket in sockets))
        assert [code for code, _ in codes] == [4403, 4403]
        await stream_ends(stream)
        await stays(*others)
    for server in (service, second):
        problem(await user.at(connect(server)).send(), 403, "access_denied")
        async with dial(socket_url(server, user.session_id), additional_headers=user.credential) as socket:
            assert (await closing(socket))[0] == 4403
    assert await redis_client.llen(agent.queue) == 0
    await orchestrator("tenants", "resume", tenant.id)
    for task in (running, waiting):
        ledger = await ended(user, task["task_id"])
        assert (ledger["status"], ledger["code"]) == ("cancelled", "suspended")
    await user.accepted()


async def test_what_was_suspended_is_told(
    service: OrchestratorServer, user: User, orchestrator: Command
) -> None:
    """Who resumes after the suspension reads the ending of each task: an `error` with the code `suspended`."""
    accepted = await user.accepted()
    await orchestrator("tenants", "suspend", user.tenant.id)
    await orchestrator("tenants", "resume", user.tenant.id)
    async with attend(service, user, accepted["position"]) as socket:
        frame = await socket.ending(accepted["task_id"])
    assert frame["type"] == "error"
    assert (frame["data"]["status"], frame["data"]["code"]) == ("cancelled", "suspended")
