"""Origin and Host: which pages may reach the service from a browser (contract §6)."""

import pytest
from tests.contract.client import Caller, Tenant, problem
from tests.contract.conftest import Connect, StartService
from tests.contract.socket_client import closing, dial, socket_url
from tests.servers import OrchestratorServer

FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.com"}
PAGE = {"Origin": "https://chat.example.com"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
async def test_loopback_names_are_fine(caller: Caller, service: OrchestratorServer, host: str) -> None:
    """However one spells this machine, with and without a port."""
    for name in (f"{host}:{service.port}", host):
        answer = await caller.send(headers={"Host": name})
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "evil.example.com:80",
        "127.0.0.1.evil.example.com",
        "localhost.evil.example.com",
        "10.0.0.1",
        "localhost@evil.example.com",
    ],
)
async def test_on_loopback_the_host_must_be_loopback(caller: Caller, host: str) -> None:
    """A page that points its own name at 127.0.0.1 gets 403: DNS rebinding ends here."""
    problem(await caller.send(headers={"Host": host}), 403, "access_denied")


async def test_rebinding_does_not_reach_a_socket(caller: Caller, service: OrchestratorServer) -> None:
    """Same origin and same host, but a name that is not ours: closed with 4403."""
    url = socket_url(service, caller.session_id, tenant_id=caller.tenant.id, tier="professional")
    port = service.port
    headers = {"Host": f"evil.example.com:{port}", "Origin": f"http://evil.example.com:{port}"}
    assert await code_of(url.replace("127.0.0.1", "localhost"), headers) == 4403


@pytest.mark.parametrize(
    ("origin", "code"),
    [("https://evil.example.com", 4403), ("http://127.0.0.1:1", 4403), ("null", 4403)],
)
async def test_a_socket_of_another_origin_is_closed(
    caller: Caller, service: OrchestratorServer, origin: str, code: int
) -> None:
    """The handshake is completed and closed with 4403, since a browser shows nothing else."""
    url = socket_url(service, caller.session_id, tenant_id=caller.tenant.id, tier="professional")
    assert await code_of(url, {"Origin": origin}) == code


async def test_a_socket_of_the_same_origin_is_opened(caller: Caller, service: OrchestratorServer) -> None:
    """The page at `/` may connect."""
    url = socket_url(service, caller.session_id, tenant_id=caller.tenant.id, tier="professional")
    async with dial(url, additional_headers={"Origin": service.url}) as socket:
        assert "connection_ack" in str(await socket.recv())


async def test_a_socket_of_a_listed_origin_is_opened(caller: Caller, service_with: StartService) -> None:
    """`ORCHESTRATOR_ALLOWED_ORIGINS` holds for sockets too."""
    server = service_with(allowed_origins="https://app.example.com")
    url = socket_url(server, caller.session_id, tenant_id=caller.tenant.id, tier="professional")
    async with dial(url, additional_headers={"Origin": "https://app.example.com"}) as socket:
        assert "connection_ack" in str(await socket.recv())
    assert await code_of(url, {"Origin": "https://other.example.com"}) == 4403


async def test_a_trusted_proxy_says_which_host_was_asked(
    tenant: Tenant, service_with: StartService, connect: Connect
) -> None:
    """By default loopback is believed: same-origin is judged by the forwarded host and scheme."""
    server = service_with(host="0.0.0.0", trust_headers="true")  # noqa: S104
    caller = Caller(connect(server), tenant)
    assert (await caller.send(headers={**PAGE, **FORWARDED})).status_code == 202
    assert (await caller.send(headers={**FORWARDED, "Origin": "https://evil.example.com"})).status_code == 403


async def test_anybody_elses_forwarded_headers_mean_nothing(
    tenant: Tenant, service_with: StartService, connect: Connect
) -> None:
    """With the proxies elsewhere, a caller cannot make an origin its own."""
    server = service_with(
        host="0.0.0.0",  # noqa: S104
        trust_headers="true",
        trusted_proxies="10.0.0.0/8",
    )
    caller = Caller(connect(server), tenant)
    assert (await caller.send(headers={**PAGE, **FORWARDED})).status_code == 403
    assert (await caller.send()).status_code == 202


async def code_of(url: str, headers: dict[str, str]) -> int:
    """The close code of a handshake that has to be refused."""
    async with dial(url, additional_headers=headers) as socket:
        return (await closing(socket))[0]
