"""Identity that is stated in a way that two readers would understand differently (contract §1, §6).

In header mode what stands in the headers decides whose things are touched; so they are attacked there.
"""

import asyncio
import json
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Caller, Tenant, problem, unique
from tests.contract.conftest import Connect, NewTenant
from tests.contract.socket_client import closing, dial
from tests.servers import OrchestratorServer

IDENTITY: Final = ["X-Tenant-ID", "X-Tenant-Tier", "X-Session-ID", "X-Agent-ID", "X-User-ID"]

SPELLINGS: Final[dict[str, str]] = {
    "braces": "{%s}",
    "braces around nothing": "{}%s",
    "a hash tag of another": "{other}%s",
    "a colon": "%s:callbacks",
    "a wildcard": "%s*",
    "a wildcard alone": "*",
    "a question mark": "%s?",
    "brackets": "[%s]",
    "a slash": "%s/",
    "a path": "../%s",
    "a back slash": "%s\\",
    "a quote": "%s'",
    "SQL": "%s' OR '1'='1",
    "a comma": "%s,other",
    "two words": "%s other",
    "a semicolon": "%s;",
    "percent encoding": "%%74enant",
    "percent encoded NUL": "%s%%00",
    "percent encoded newline": "%s%%0aX-User-ID:%%20eve",
    "double encoding": "%s%%2500",
    "a tab": "%s\tx",
    "a leading dot": ".%s",
    "a leading at": "@%s",
    "Latin-1": "%s\xe9",
    "a non-breaking space": "%s\xa0",
    "too long": "x" * 129,
}
ALIKE: Final[dict[str, str]] = {
    "Cyrillic": "tеnant",
    "full width": "\uff54enant",
    "a zero width space": "tenant\u200b",
    "a combining mark": "tenant\u0301",
    "right to left": "\u202etenant",
    "a ligature": "\ufb01nance",
}
CONTROL: Final[dict[str, bytes]] = {
    "NUL": b"\0",
    "a bell": b"\x07",
    "delete": b"\x7f",
    "a bare carriage return": b"\r",
    "escape": b"\x1b[2J",
}


@pytest.fixture
def stated(header_service: OrchestratorServer, connect: Connect, tenant: Tenant) -> Caller:
    """The test's tenant in header mode."""
    return Caller(connect(header_service), tenant)


async def raw(server: OrchestratorServer, head: bytes, body: bytes = b"") -> bytes:
    """The answer to a request that no library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head + body)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def send_head(caller: Caller, server: OrchestratorServer, *lines: bytes, without: str = "") -> bytes:
    """A whole send as bytes, with further lines in its head."""
    body = b'{"message":"Hello"}'
    given = {name: value for name, value in caller.headers.items() if name != without}
    head = [b"POST /api/chat/send HTTP/1.1", f"Host: 127.0.0.1:{server.port}".encode(), b"Connection: close"]
    head += [f"{name}: {value}".encode() for name, value in given.items()]
    head += [b"Content-Type: application/json", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def untouched(redis_client: Any, text: str) -> None:
    """No key has `text` in its name."""
    assert [key async for key in redis_client.scan_iter(count=1000) if text in key] == []


@pytest.mark.parametrize("name", IDENTITY)
@pytest.mark.parametrize("order", [1, -1])
async def test_a_header_given_twice(stated: Caller, name: str, order: int) -> None:
    """400 `invalid_id`, in either order: a proxy checks one of them, and we would take the other."""
    pair = [(name, {**stated.headers, "X-User-ID": "ada"}[name]), (name, "another")][::order]
    rest = [(other, value) for other, value in stated.headers.items() if other != name]
    answer = await stated.http.post("/api/chat/send", headers=rest + pair, json={"message": "Hello"})
    assert problem(answer, 400, "invalid_id")["parameter"] == name


@pytest.mark.parametrize("name", ["X-Tenant-ID", "X-Tenant-Tier", "X-User-ID"])
async def test_a_header_of_a_stream_given_twice(stated: Caller, name: str) -> None:
    """The same on a stream of events and on a socket's handshake."""
    values = {**stated.headers, "X-User-ID": "ada"}
    twice = [(name, values[name]), (name, "another")]
    rest = [(other, value) for other, value in stated.headers.items() if other != name]
    answer = await stated.http.get(f"/api/chat/sessions/{stated.session_id}/events", headers=rest + twice)
    assert problem(answer, 400, "invalid_id")["parameter"] == name


async def test_a_parameter_given_twice(
    stated: Caller, header_service: OrchestratorServer, new_tenant: NewTenant
) -> None:
    """A query that names two tenants is nobody's: 4400, 400, whichever comes first."""
    other = await new_tenant()
    for first, last in ((stated.tenant.id, other.id), (other.id, stated.tenant.id)):
        query = f"tier=professional&tenant_id={first}&tenant_id={last}"
        async with dial(f"{header_service.ws_url}/ws/{stated.session_id}?{query}") as socket:
            assert (await closing(socket))[0] == 4400
        answer = await stated.http.get(f"/api/chat/sessions/{stated.session_id}/events?{query}")
        problem(answer, 400, "invalid_id")


async def test_names_that_a_gateway_would_not_strip(
    stated: Caller, header_service: OrchestratorServer, new_tenant: NewTenant
) -> None:
    """`X_Tenant_ID`, blanks before the colon and folded lines are not read as the header they look like."""
    other = (await new_tenant()).id.encode()
    for line in (b"X_Tenant_ID: " + other, b"X-Tenant_ID: " + other, b"X-Tenant-ID : " + other):
        answer = await raw(header_service, send_head(stated, header_service, line, without="X-Tenant-ID"))
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert other not in answer
    folded = b"X-Filler: a\r\n X-Tenant-ID: " + other
    answer = await raw(header_service, send_head(stated, header_service, folded))
    assert answer.startswith((b"HTTP/1.1 202 ", b"HTTP/1.1 400 ")), answer
    if answer.startswith(b"HTTP/1.1 202 "):
        location = answer.lower().partition(b"location: ")[2].partition(b"\r\n")[0].decode()
        assert (await stated.ledger(location.rpartition("/")[2]))["status"] in ("accepted", "queued")


@pytest.mark.parametrize("name", IDENTITY[:4])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
async def test_another_spelling(stated: Caller, redis_client: Any, name: str, spelling: str) -> None:
    """400 before a key is built from it, never the tenant, session or agent that it looks like."""
    value = spelling.replace("%%", "\0").replace("%s", stated.headers[name]).replace("\0", "%")
    answer = await stated.send(headers={name: value.encode("latin-1")})
    code = "invalid_tier" if name == "X-Tenant-Tier" else "invalid_id"
    problem(answer, 400, code)
    assert await redis_client.llen(stated.tenant.queue()) == 0


@pytest.mark.parametrize("name", IDENTITY[:4])
@pytest.mark.parametrize("value", ALIKE.values(), ids=ALIKE)
async def test_letters_that_look_alike(stated: Caller, name: str, value: str) -> None:
    """UTF-8 in a header is no id, and is not normalised into one."""
    answer = await stated.send(headers={name: value.encode()})
    problem(answer, 400, "invalid_tier" if name == "X-Tenant-Tier" else "invalid_id")


@pytest.mark.parametrize("blank", [b" ", b"\t", b"  \t "])
async def test_blanks_around_an_id(stated: Caller, header_service: OrchestratorServer, blank: bytes) -> None:
    """Blanks around a header's value are no part of it (RFC 9110 §5.5), in whichever header."""
    line = b"X-Tenant-ID:" + blank + stated.tenant.id.encode() + blank
    answer = await raw(header_service, send_head(stated, header_service, line, without="X-Tenant-ID"))
    assert answer.startswith(b"HTTP/1.1 202 "), answer


@pytest.mark.parametrize("control", CONTROL.values(), ids=CONTROL)
@pytest.mark.parametrize("place", ["before", "within", "behind"])
async def test_control_characters(
    stated: Caller, header_service: OrchestratorServer, control: bytes, place: str
) -> None:
    """400 at the parser or at the check; the request does nothing."""
    tenant = stated.tenant.id.encode()
    value = {
        "before": control + tenant,
        "within": tenant[:3] + control + tenant[3:],
        "behind": tenant + control,
    }[place]
    answer = await raw(
        header_service, send_head(stated, header_service, b"X-Tenant-ID: " + value, without="X-Tenant-ID")
    )
    assert answer.startswith(b"HTTP/1.1 400 "), answer


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"%0d%0a"])
async def test_a_newline_adds_no_header(
    stated: Caller, header_service: OrchestratorServer, new_tenant: NewTenant, line_end: bytes
) -> None:
    """A value that was not cleaned by who wrote it: nothing is done for the tenant that is smuggled in."""
    other = await new_tenant()
    smuggled = b"X-Client-Version: 1" + line_end + b"X-Tenant-ID: " + other.id.encode()
    answer = await raw(header_service, send_head(stated, header_service, smuggled))
    assert other.id.encode() not in answer
    stats = await Caller(stated.http, other).get("/api/chat/stats")
    assert stats.json()["outstanding"] == 0


@pytest.mark.parametrize(
    "path", ["{x}", "%7Bx%7D", "a%2Fb", "a%00b", "a%0Ab", "%2e%2e", "a%25b", "*", "%ff", "t%D0%B5nant"]
)
async def test_ids_in_paths(stated: Caller, header_service: OrchestratorServer, path: str) -> None:
    """A decoded path has the same rule for ids: 400 or 404, 4400 on a socket."""
    for url in (f"/api/chat/sessions/{path}", f"/api/chat/sessions/{path}/events", f"/api/chat/tasks/{path}"):
        answer = await stated.get(url)
        assert answer.status_code in (400, 404), (url, answer.text)
    head = f"GET /ws/{path}?tenant_id={stated.tenant.id}&tier=professional HTTP/1.1\r\n"
    head += f"Host: 127.0.0.1:{header_service.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", header_service.port)
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    if answer.startswith(b"HTTP/1.1 101 "):
        assert (await asyncio.wait_for(reader.readexactly(4), 5))[2:] == (4400).to_bytes(2, "big")
    else:
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 ", b"HTTP/1.1 404 ")), answer
    writer.close()


@pytest.mark.parametrize(
    "task", ["task-{x}", "task-*", "task-a:b", "task-%00", "{task}", "task-" + "x" * 200]
)
async def test_ids_of_tasks_in_frames(
    stated: Caller, header_service: OrchestratorServer, redis_client: Any, task: str
) -> None:
    """`cancel` and `answer` of what can be no task: `not_found`, and no key of that name."""
    query = f"tenant_id={stated.tenant.id}&tier=professional"
    async with dial(f"{header_service.ws_url}/ws/{stated.session_id}?{query}") as socket:
        await socket.recv()
        for frame in ({"type": "cancel", "task_id": task}, {"type": "answer", "task_id": task, "answer": 1}):
            await socket.send(json.dumps(frame))
            assert json.loads(await socket.recv())["data"]["code"] == "not_found"
    await untouched(redis_client, task)


async def test_a_user_id_is_never_part_of_a_key(stated: Caller, redis_client: Any) -> None:
    """Any printable characters name a user, and none of them a key."""
    user = f"{unique('u')}{{x}}:*"
    await stated.accepted(headers={"X-User-ID": user})
    await untouched(redis_client, user)


async def test_two_requests_in_one(
    header_service: OrchestratorServer, stated: Caller, new_tenant: NewTenant
) -> None:
    """Two lengths, or a length and chunks: refused, so that no second request hides in the body of the first."""
    other = await new_tenant()
    hidden = send_head(Caller(stated.http, other), header_service)
    for lines in (
        [b"Content-Length: %d" % (len(hidden) + 19)],
        [b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: identity, chunked"],
        [b"Transfer-Encoding : chunked"],
    ):
        await raw(header_service, send_head(stated, header_service, *lines), hidden)
        stats = await Caller(stated.http, other).get("/api/chat/stats")
        assert stats.json()["outstanding"] == 0, lines


async def test_another_path_to_a_guarded_route(service: OrchestratorServer, http: httpx.AsyncClient) -> None:
    """No spelling of a URL goes around the guard of its route: 401, 403, 404 or 405, and never an answer."""
    for path in (
        "/metrics/", "//metrics", "/./metrics", "/health/../metrics", "/metrics;x", "/METRICS", "/metrics%00",
        "/%6detrics", "/docs/../api/chat/stats", "/static/../api/chat/stats", "/api//chat/stats", "/api/chat/stats/",
        "/static/%2e%2e/%2e%2e/app.py", "/static/../app.py", "/health/..%2fmetrics", "/api/admin",
        "/api/admin/../chat/stats", "http://127.0.0.1/metrics", "/ws/stats/", "/health#/../metrics",
    ):  # fmt: skip
        answer = await raw(
            service,
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nConnection: close\r\n\r\n".encode(),
        )
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 401, 403, 404, 405) or path.startswith("/health#"), (path, answer)
        assert b"orchestrator_" not in answer
    for header in ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Prefix"):
        answer = await http.get("/health", headers={header: "/metrics"})
        assert "orchestrator_" not in answer.text
