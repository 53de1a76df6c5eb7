"""How a token may come to the service, and how not (contract §6)."""

import asyncio
import json
from typing import Any, Final

import pytest
from tests.contract.client import Caller, Tenant, problem, unique
from tests.contract.conftest import Connect
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.minting import HS256, bearer
from tests.security.user import User
from tests.servers import OrchestratorServer
from websockets.exceptions import InvalidStatus

STATS: Final = "/api/chat/stats"
IN_URLS: Final = ["token", "access_token", "authorization", "jwt", "bearer", "id_token"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_has_no_case(user: User, scheme: str) -> None:
    """`Authorization: Bearer`, in any case (RFC 9110 §11.1)."""
    answer = await user.http.get(STATS, headers={"Authorization": f"{scheme} {user.token}"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "form",
    ["{}", "Basic {}", "Token {}", "JWT {}", "Bearer", "Bearer{}", "Bearer: {}", "Bearer {0} {0}",
     "Bearer x, Bearer {}", 'Bearer "{}"', "Bearer token={}", ", Bearer {}"],
)  # fmt: skip
async def test_another_form_of_the_header(user: User, service: OrchestratorServer, form: str) -> None:
    """Without the one scheme and the one token: 401 that says which scheme, and 4401."""
    headers = {"Authorization": form.format(user.token)}
    answer = await user.http.get(STATS, headers=headers)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert user.token not in answer.text
    async with dial(socket_url(service, user.session_id), additional_headers=headers) as socket:
        assert (await closing(socket))[0] == 4401


async def test_no_token(user: User) -> None:
    """401 whose challenge names no error: nothing was sent that could be wrong (RFC 6750 §3.1)."""
    answer = await user.http.get(STATS)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "error=" not in answer.headers["www-authenticate"]


async def test_two_authorization_headers(user: User, service: OrchestratorServer, tenant: Tenant) -> None:
    """Nobody's intention, in either order and though both are good: a proxy could have judged the other one."""
    other = HS256.of(tenant, "eve")
    for pair in ((user.token, other), (other, user.token), (user.token, user.token), (user.token, "x")):
        headers = [("Authorization", f"Bearer {token}") for token in pair]
        problem(await user.http.get(STATS, headers=headers), 401, "unauthorized")
        async with dial(socket_url(service, user.session_id), additional_headers=headers) as socket:
            assert (await closing(socket))[0] == 4401


@pytest.mark.parametrize("name", IN_URLS)
async def test_a_token_in_the_url_of_a_request(user: User, name: str) -> None:
    """No query parameter opens a route, on HTTP or SSE."""
    for path in (STATS, f"/api/chat/sessions/{user.session_id}/events"):
        answer = await user.http.get(path, params={name: user.token})
        assert answer.status_code in (400, 401), answer.text
        assert user.token not in answer.text


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "jwt", "secret"])
async def test_a_token_in_the_url_beside_a_good_header(user: User, name: str) -> None:
    """Refused all the same, so that whoever does it mends it: URLs are logged on their way."""
    accepted = await user.accepted()
    session = f"/api/chat/sessions/{user.session_id}"
    for method, path in (
        ("POST", "/api/chat/send"),
        ("GET", f"/api/chat/tasks/{accepted['task_id']}"),
        ("GET", session),
        ("GET", f"{session}/events"),
        ("GET", STATS),
        ("POST", "/api/auth/ticket"),
        ("GET", "/metrics"),
        ("GET", "/api/admin/tenants"),
    ):
        answer = await user.ask(method, path, user.headers, params={name: user.token})
        assert name in problem(answer, 400, "invalid_id")["detail"]
        assert user.token not in answer.text


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "jwt"])
@pytest.mark.parametrize("with_header", [False, True])
async def test_a_token_in_the_url_of_a_socket(
    user: User, service: OrchestratorServer, name: str, with_header: bool
) -> None:
    """4400, also where the handshake carried a good one."""
    url = socket_url(service, user.session_id, **{name: user.token})
    headers = user.credential if with_header else {}
    async with dial(url, additional_headers=headers) as socket:
        code, reason = await closing(socket)
    assert code == 4400
    assert name in reason
    assert user.token not in reason


async def test_a_subprotocol_is_no_credential(user: User, service: OrchestratorServer) -> None:
    """`Sec-WebSocket-Protocol` carries no token: such a socket has shown none."""
    url = socket_url(service, user.session_id)
    async with dial(url, subprotocols=["bearer", user.token]) as socket:
        assert socket.subprotocol is None
        assert (await closing(socket))[0] == 4401


async def test_a_cookie_is_no_credential(user: User, service: OrchestratorServer) -> None:
    """Browsers send cookies by themselves, from any page."""
    cookie = {"Cookie": f"token={user.token}; Authorization=Bearer {user.token}"}
    problem(await user.http.get(STATS, headers=cookie), 401, "unauthorized")
    async with dial(socket_url(service, user.session_id), additional_headers=cookie) as socket:
        assert (await closing(socket))[0] == 4401


@pytest.mark.parametrize(
    ("size", "status", "code"),
    [
        (10_000, 401, "unauthorized"),
        (100_000, 431, "headers_too_large"),
        (1_000_000, 431, "headers_too_large"),
    ],
)
async def test_a_huge_token(
    user: User, service: OrchestratorServer, size: int, status: int, code: str
) -> None:
    """No token of ours is so long: 431 where headers end, 1009 or 4401 in a frame; the server goes on."""
    huge = HS256.of(user.tenant, filler="x" * size)
    problem(await user.http.get(STATS, headers=bearer(huge)), status, code)
    with pytest.raises(InvalidStatus) as refused:
        async with dial(socket_url(service, user.session_id), additional_headers=bearer(huge)):
            pass
    assert refused.value.response.status_code == 431
    async with dial(socket_url(service, user.session_id)) as socket:
        await socket.send(json.dumps({"type": "auth", "token": huge}))
        assert (await closing(socket))[0] in (1009, 4401)
    assert (await user.get(STATS)).status_code == 200


async def test_identity_headers_are_no_credential(
    user: User, service: OrchestratorServer, tenant: Tenant
) -> None:
    """With a key set, what a gateway would state opens nothing, by headers or by the query."""
    stated = Caller(user.http, tenant, user.session_id)
    for path in (STATS, f"/api/chat/sessions/{user.session_id}/events", "/metrics", "/ws/stats"):
        problem(await stated.get(path), 401, "unauthorized")
    problem(await stated.send(), 401, "unauthorized")
    url = socket_url(service, user.session_id, tenant_id=tenant.id, tier=tenant.tier, user_id="ada")
    async with dial(url, additional_headers={"X-Tenant-ID": tenant.id, "X-User-ID": "ada"}) as socket:
        await socket.send(json.dumps({"type": "ping"}))
        assert (await closing(socket))[0] == 4401


async def test_the_gateways_secret_is_no_token(service_with: Any, connect: Connect, tenant: Tenant) -> None:
    """With both set, every request needs both."""
    secret = unique("planted-gateway")
    server = service_with(gateway_secret=secret)
    user = User(connect(server), tenant)
    carried = {"X-Gateway-Secret": secret}
    problem(await user.http.get(STATS, headers=carried), 401, "unauthorized")
    problem(await user.ask("GET", STATS), 401, "unauthorized")
    assert (await user.ask("GET", STATS, carried)).status_code == 200


@pytest.mark.parametrize("value", [b"Bearer \xff\xfe", b"Bearer \xc3\xa9", b"\x80", b"Bearer ", b"Bearer \t"])
async def test_bytes_that_are_no_text(service: OrchestratorServer, value: bytes) -> None:
    """401, whatever stands in the header."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"GET {STATS} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nConnection: close\r\n"
    writer.write(head.encode() + b"Authorization: " + value + b"\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 "), answer
