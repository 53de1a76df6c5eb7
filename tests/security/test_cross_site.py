"""Pages of other sites, with a token that they may have come by (contract §6, Origin; CWE-1385)."""

import json
from typing import Any, Final

import pytest
from tests.contract.client import Tenant, problem
from tests.contract.conftest import Connect, StartService
from tests.contract.event_stream import events
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.user import User
from tests.servers import OrchestratorServer
from websockets.exceptions import InvalidStatus

LISTED: Final = "https://app.example.com"

FOREIGN: Final = [
    "https://evil.example",
    "null",
    "",
    "*",
    "file://",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://evil-app.example.com",
    "https://sub.app.example.com",
    "https://app.example.com/",
    "https://app.example.com@evil.example",
    "https://APP.example.com.",
    "https://app.example.com,https://evil.example",
    "https://evil.example https://app.example.com",
    "javascript://app.example.com",
    "https://app\N{FULLWIDTH FULL STOP}example.com",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://localhost",
]


@pytest.fixture
def server(service_with: StartService) -> OrchestratorServer:
    """A server that one page may use from elsewhere."""
    return service_with(allowed_origins=LISTED)


@pytest.fixture
def visitor(server: OrchestratorServer, connect: Connect, tenant: Tenant) -> User:
    """Ada at that server."""
    return User(connect(server), tenant)


foreign = pytest.mark.parametrize("origin", FOREIGN)


@foreign
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/chat/send"),
        ("POST", "/api/auth/ticket"),
        ("POST", "/api/chat/tasks/task-x/cancel"),
        ("POST", "/api/chat/tasks/task-x/answer"),
        ("GET", "/api/chat/sessions/{session}"),
        ("GET", "/api/chat/sessions/{session}/events"),
        ("GET", "/api/chat/stats"),
        ("GET", "/metrics"),
        ("POST", "/api/admin/tenants"),
    ],
)
async def test_a_request_from_another_site(visitor: User, method: str, path: str, origin: str) -> None:
    """403, though the token is good, and without the headers that would let the page read even that."""
    body: dict[str, Any] = {"json": {"message": "Hello"}} if path.endswith("send") else {}
    headers: Any = {**visitor.headers, "Origin": origin.encode()}
    answer = await visitor.http.request(
        method, path.format(session=visitor.session_id), headers=headers, **body
    )
    problem(answer, 403, "access_denied")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@foreign
async def test_a_socket_from_another_site(server: OrchestratorServer, visitor: User, origin: str) -> None:
    """4403 before any token is looked at, in the handshake or in the first frame."""
    if not origin.isascii():
        return  # the client's library sends no such header; browsers send punycode
    for headers in ({}, visitor.credential):
        async with dial(
            socket_url(server, visitor.session_id), additional_headers={**headers, "Origin": origin}
        ) as socket:
            assert (await closing(socket))[0] == 4403


@foreign
async def test_a_preflight_from_another_site(visitor: User, origin: str) -> None:
    """A browser that asks first is told nothing that lets its page go on."""
    asked: Any = {
        "Origin": origin.encode(),
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = await visitor.http.options("/api/chat/send", headers=asked)
    assert "access-control-allow-origin" not in answer.headers


async def test_the_listed_page(server: OrchestratorServer, visitor: User) -> None:
    """The one that is listed may everything, with its token."""
    page = {"Origin": LISTED}
    answer = await visitor.send(headers=page)
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert "access-control-allow-credentials" not in answer.headers
    async with events(visitor.http, visitor.session_id, {**visitor.credential, **page}) as stream:
        assert (await stream.frame())["type"] == "connection_ack"
    async with dial(
        socket_url(server, visitor.session_id), additional_headers={**visitor.credential, **page}
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "connection_ack"


async def test_the_own_page(server: OrchestratorServer, visitor: User) -> None:
    """Same origin needs no list."""
    page = {"Origin": server.url}
    assert (await visitor.send(headers=page)).status_code == 202
    async with dial(
        socket_url(server, visitor.session_id), additional_headers={**visitor.credential, **page}
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "connection_ack"


async def test_two_origins(server: OrchestratorServer, visitor: User) -> None:
    """Given twice, in either order, an origin is none that is allowed."""
    for pair in ((LISTED, "https://evil.example"), ("https://evil.example", LISTED)):
        headers = [*visitor.headers.items(), *(("Origin", origin) for origin in pair)]
        answer = await visitor.http.get("/api/chat/stats", headers=headers)
        assert answer.status_code in (400, 403), answer.text
        with pytest.raises(InvalidStatus) as refused:
            async with dial(socket_url(server, visitor.session_id), additional_headers=headers):
                pass  # the server's protocol refuses such a handshake by itself
        assert refused.value.response.status_code == 400


async def test_a_forwarded_host_is_not_everybodys(
    service_with: StartService, connect: Connect, tenant: Tenant
) -> None:
    """With the proxies elsewhere, nobody makes an origin his own by `X-Forwarded-Host`."""
    server = service_with(trusted_proxies="10.0.0.0/8")
    user = User(connect(server), tenant)
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Origin": "https://evil.example",
    }
    problem(await user.send(headers=forged), 403, "access_denied")
    async with dial(
        socket_url(server, user.session_id), additional_headers={**user.credential, **forged}
    ) as socket:
        assert (await closing(socket))[0] == 4403
