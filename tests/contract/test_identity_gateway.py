"""Header mode behind a gateway: the secret, and where identity comes from then (contract §6)."""

from collections.abc import Mapping

import httpx
import pytest
from tests.contract.client import Caller, Tenant, problem, unique
from tests.contract.conftest import BOTH_WAYS, Connect, StartService
from tests.contract.event_stream import events
from tests.contract.socket_client import closing, dial, socket_url
from tests.contract.test_http_errors import ROUTES
from tests.servers import OrchestratorServer
from websockets.exceptions import InvalidStatus

pytestmark = [*BOTH_WAYS]

SECRET = "planted-secret-of-the-gateway"
HEALTH = ("/health", "/api/chat/health", "/ws/health", "/health/live", "/health/ready")
CARRIED = {"X-Gateway-Secret": SECRET}


@pytest.fixture
def server(service_with: StartService) -> OrchestratorServer:
    """A server behind a gateway."""
    return service_with(gateway_secret=SECRET)


@pytest.fixture
def gateway(server: OrchestratorServer, connect: Connect, tenant: Tenant) -> Caller:
    """The tenant's requests, without the secret unless a test adds it."""
    return Caller(connect(server), tenant)


def identity(tenant: Tenant) -> dict[str, str]:
    """What a gateway sets on a handshake."""
    return {**CARRIED, "X-Tenant-ID": tenant.id, "X-Tenant-Tier": tenant.tier}


async def test_every_route_wants_the_secret(gateway: Caller) -> None:
    """401 `unauthorized` with `WWW-Authenticate` on every route but the health routes."""
    for method, path in ROUTES:
        answer = await gateway.http.request(method, path, headers=gateway.headers)
        if path in HEALTH:
            assert answer.status_code == 200, path
        else:
            problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"], path


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x", SECRET[:-1], SECRET.upper()])
async def test_another_secret_is_refused(gateway: Caller, secret: str) -> None:
    """401 for anything but the secret itself, and nothing of it in the answer or the log."""
    answer = await gateway.send(headers={"X-Gateway-Secret": secret})
    problem(answer, 401, "unauthorized")
    assert SECRET not in answer.text


async def test_a_stream_without_its_headers(gateway: Caller) -> None:
    """400 `missing_headers` names the headers: behind a gateway parameters would not do."""
    path = f"/api/chat/sessions/{gateway.session_id}/events"
    query = {"tenant_id": gateway.tenant.id, "tier": gateway.tenant.tier}
    missing = ["X-Tenant-ID", "X-Tenant-Tier"]
    told = problem(await gateway.http.get(path, params=query, headers=CARRIED), 400, "missing_headers")
    assert (told["detail"], told["missing"]) == (f"missing header: {', '.join(missing)}", missing)


async def test_with_the_secret_the_headers_are_believed(gateway: Caller) -> None:
    """The gateway may send for the tenant."""
    assert (await gateway.send(headers=CARRIED)).status_code == 202


async def test_preflight_needs_no_secret(service_with: StartService, connect: Connect) -> None:
    """A browser cannot send one along."""
    server = service_with(gateway_secret=SECRET, allowed_origins="https://app.example.com")
    answer = await connect(server).options(
        "/api/chat/send",
        headers={"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"},
    )
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_the_secret_is_never_logged(gateway: Caller, server: OrchestratorServer) -> None:
    """Neither the right one nor a wrong one is in the server's log."""
    wrong = unique("wrong")
    await gateway.send(headers=CARRIED)
    await gateway.send(headers={"X-Gateway-Secret": wrong})
    assert SECRET not in server.log
    assert wrong not in server.log


async def test_a_stream_is_identified_by_headers(gateway: Caller, tenant: Tenant) -> None:
    """Server-Sent Events take the tenant from the gateway; the query may repeat it."""
    query = {"tenant_id": tenant.id, "tier": tenant.tier}
    for params in ({}, query):
        async with events(gateway.http, gateway.session_id, identity(tenant), params) as stream:
            assert (await stream.frame())["tenant_id"] == tenant.id


@pytest.mark.parametrize("query", [{"tenant_id": "other"}, {"tier": "free"}, {"user_id": "mallory"}])
async def test_a_query_may_not_contradict_the_gateway(
    gateway: Caller, tenant: Tenant, query: Mapping[str, str]
) -> None:
    """403 where the query names another tenant, tier or user than the headers."""
    answer = await stream(gateway, {**identity(tenant), "X-User-ID": "alice"}, query)
    assert answer.status_code == 403, answer.text


async def test_a_query_alone_identifies_nobody_behind_a_gateway(gateway: Caller, tenant: Tenant) -> None:
    """With a secret set, identity comes from the headers: 400 that names what is missing."""
    answer = await stream(gateway, CARRIED, {"tenant_id": tenant.id, "tier": tenant.tier})
    assert problem(answer, 400, "missing_headers")["missing"]


async def test_a_socket_is_identified_by_headers(
    gateway: Caller, server: OrchestratorServer, tenant: Tenant
) -> None:
    """The handshake's headers do, without any query parameter."""
    url = socket_url(server, gateway.session_id)
    async with dial(url, additional_headers=identity(tenant)) as socket:
        assert f'"{tenant.id}"' in str(await socket.recv())


async def test_a_socket_may_not_contradict_the_gateway(
    gateway: Caller, server: OrchestratorServer, tenant: Tenant
) -> None:
    """Closed with 4403."""
    url = socket_url(server, gateway.session_id, tenant_id="other", tier=tenant.tier)
    async with dial(url, additional_headers=identity(tenant)) as socket:
        assert (await closing(socket))[0] == 4403


async def test_a_socket_without_the_secret_is_refused(
    gateway: Caller, server: OrchestratorServer, tenant: Tenant
) -> None:
    """Missing credentials: close code 4401, or 401 to the handshake itself; never a frame."""
    url = socket_url(server, gateway.session_id, tenant_id=tenant.id, tier=tenant.tier)
    try:
        async with dial(url) as socket:
            code, _ = await closing(socket)
    except InvalidStatus as refused:
        code = refused.response.status_code
    assert code in (4401, 401)


async def stream(gateway: Caller, headers: Mapping[str, str], params: Mapping[str, str]) -> httpx.Response:
    """A request for a stream that has to be refused."""
    path = f"/api/chat/sessions/{gateway.session_id}/events"
    return await gateway.http.get(path, headers=headers, params=params)
