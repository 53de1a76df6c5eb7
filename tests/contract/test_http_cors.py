"""CORS: listed origins get it, errors included; others do not (contract §3, §6)."""

from collections.abc import Mapping
from functools import partial

import httpx
import pytest
from tests.contract.client import Caller, Tenant, problem
from tests.contract.conftest import BOTH_WAYS, Connect, StartService
from tests.contract.event_stream import followed
from tests.servers import OrchestratorServer

pytestmark = [*BOTH_WAYS]

LISTED = "https://app.example.com"
ALLOWED = (
    "X-Tenant-ID",
    "X-Agent-ID",
    "X-Tenant-Tier",
    "X-Session-ID",
    "X-Context-Type",
    "X-User-ID",
    "X-Conversation-ID",
    "X-Collection-ID",
    "X-Request-Source",
    "X-Client-Version",
    "Idempotency-Key",
    "traceparent",
    "Authorization",
    "Last-Event-ID",
)
EXPOSED = (
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Idempotency-Replayed",
    "WWW-Authenticate",
)


@pytest.fixture
def server(service_with: StartService) -> OrchestratorServer:
    """A server that lists two origins."""
    return service_with(allowed_origins=f"{LISTED},http://localhost:5173")


@pytest.fixture
def browser(server: OrchestratorServer, connect: Connect, tenant: Tenant) -> Caller:
    """The tenant's frontend on that server."""
    return Caller(connect(server), tenant)


async def preflight(http: httpx.AsyncClient, origin: str, path: str = "/api/chat/send") -> httpx.Response:
    """What a browser asks before it sends."""
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ", ".join(ALLOWED)}
    return await http.options(path, headers={"Origin": origin, **asks})


def names(headers: Mapping[str, str], name: str) -> set[str]:
    """The lower-case names in a header that lists some."""
    return {part.strip().lower() for part in headers[name].split(",")}


async def test_preflight_of_a_listed_origin(browser: Caller) -> None:
    """Without credentials: the origin itself, POST, and every header that send reads."""
    answer = await preflight(browser.http, LISTED)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert "post" in names(answer.headers, "access-control-allow-methods")
    allowed = names(answer.headers, "access-control-allow-headers")
    assert {name.lower() for name in ALLOWED} <= allowed


async def test_preflight_of_another_origin(browser: Caller) -> None:
    """An origin that is not listed is told nothing."""
    answer = await preflight(browser.http, "https://evil.example.com")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", [LISTED, "http://localhost:5173"])
async def test_a_listed_origin_may_read_the_answer(browser: Caller, origin: str) -> None:
    """The origin by name, never `*`, and the headers that a client needs are exposed."""
    answer = await browser.send(headers={"Origin": origin})
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == origin
    exposed = names(answer.headers, "access-control-expose-headers")
    assert {name.lower() for name in EXPOSED} <= exposed


async def test_errors_may_be_read_too(browser: Caller) -> None:
    """400, 404, 405 and 413 carry the same headers as the 202."""
    origin = {"Origin": LISTED}
    large = b'{"message": "' + b"x" * 300_000 + b'"}'
    for answer, status in (
        (await browser.send("", origin), 400),
        (await browser.http.get("/nothing", headers=origin), 404),
        (await browser.http.delete("/api/chat/send", headers=origin), 405),
        (await browser.post({**origin, "Content-Type": "application/json"}, content=large), 413),
    ):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == LISTED
        assert "retry-after" in names(answer.headers, "access-control-expose-headers")


async def test_streams_may_be_read_too(browser: Caller) -> None:
    """Server-Sent Events carry it as well."""
    async with followed(browser, {"Origin": LISTED}) as stream:
        assert stream.response.headers["access-control-allow-origin"] == LISTED


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://sub.app.example.com",
        "null",
    ],
)
async def test_another_origin_is_refused(browser: Caller, origin: str) -> None:
    """Neither same-origin nor listed exactly: 403, nothing to read, and no task."""
    answer = await browser.send(headers={"Origin": origin})
    assert answer.status_code == 403, answer.text
    assert "access-control-allow-origin" not in answer.headers


async def test_the_same_origin_is_allowed(caller: Caller, service: OrchestratorServer) -> None:
    """Without any setting: the page that this server brought may send."""
    send = partial(caller.send, "Hello")
    assert (await send({"Origin": service.url})).status_code == 202
    problem(await send({"Origin": "http://127.0.0.1:1"}), 403, "access_denied")


async def test_no_origin_is_no_browser(caller: Caller) -> None:
    """A request without `Origin` is allowed, and gets no CORS headers."""
    answer = await caller.send()
    assert answer.status_code == 202
    assert not [name for name in answer.headers if name.startswith("access-control")]
