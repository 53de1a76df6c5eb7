"""A request that comes whole is answered directly, one with an empty query through ASGI: nobody can tell which."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

import httpx
import pytest
from tests.contract.client import Tenant, unique
from tests.contract.conftest import Connect, StartService
from tests.security.minting import SECRET, shared
from tests.servers import OrchestratorServer

LISTED: Final = "https://app.example.com"
OWN: Final = re.compile(rb'"(?:position|ticket)":"[^"]*"|task-[\w-]+|\d+')
"""What is each answer's own."""
SENDS: Final[Mapping[str, tuple[dict[str, str | None], bytes]]] = {
    "accepted": ({}, b'{"message":"Hello"}'),
    "listed origin": ({"Origin": LISTED}, b'{"message":"Hello"}'),
    "another origin": ({"Origin": "https://evil.example.com"}, b'{"message":"Hello"}'),
    "refused to a listed origin": ({"Origin": LISTED}, b"{}"),
    "a proxy's word": (
        {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "chat.example.com",
            "Origin": "https://chat.example.com",
        },
        b'{"message":"Hello"}',
    ),
    "no token": ({"Authorization": None}, b'{"message":"Hello"}'),
    "bad token": ({"Authorization": "Bearer nonsense"}, b'{"message":"Hello"}'),
    "another tenant": ({"X-Tenant-ID": "somebody-else"}, b'{"message":"Hello"}'),
    "no agent": ({"X-Agent-ID": None, "X-Session-ID": None}, b'{"message":"Hello"}'),
    "an agent twice": ({"x-agent-id": "agent-2"}, b'{"message":"Hello"}'),
    "no such agent": ({"X-Agent-ID": "agent-nobody"}, b'{"message":"Hello"}'),
    "no such tier": ({"X-Tenant-Tier": "golden"}, b'{"message":"Hello"}'),
    "no JSON by its type": ({"Content-Type": "text/plain"}, b'{"message":"Hello"}'),
    "encoded": ({"Content-Encoding": "gzip"}, b'{"message":"Hello"}'),
    "no JSON": ({}, b"{"),
    "not UTF-8": ({}, b'{"message":"\xff"}'),
    "unknown member": ({}, b'{"message":"Hello","x":1}'),
    "no body": ({}, b""),
    "repeated": ({"Idempotency-Key": "once"}, b'{"message":"Hello"}'),
}


@pytest.fixture
def server(service_with: StartService) -> OrchestratorServer:
    """A server that asks for tokens and lists an origin."""
    return service_with(jwt_secret=SECRET, allowed_origins=LISTED)


async def answered(
    server: OrchestratorServer, target: str, headers: Mapping[str, str | None], body: bytes
) -> tuple[list[bytes], bytes]:
    """The head's lines and the body of an answer, without what is its own; the request goes in one piece."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    given = {"Host": f"127.0.0.1:{server.port}", "Content-Length": str(len(body)), **headers}
    lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
    writer.write("\r\n".join([f"POST {target} HTTP/1.1", *lines, "\r\n"]).encode() + body)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    assert length
    told = await asyncio.wait_for(reader.readexactly(int(length[1])), 10)
    writer.close()
    masked = [OWN.sub(b"#", line) for line in head.split(b"\r\n") if not line.lower().startswith(b"date:")]
    return sorted(masked), OWN.sub(b"#", told)


async def counted(http: httpx.AsyncClient) -> Counter[str]:
    """The server's counters so far, but for the requests that ask for them."""
    token = shared().mint(sub="operator", scope="metrics")
    answer = await http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    lines = [line.rpartition(" ") for line in answer.text.splitlines()]
    return Counter(
        {
            name: int(float(value))
            for name, _, value in lines
            if "_total{" in name and '"/metrics"' not in name
        }
    )


@pytest.mark.parametrize("name", SENDS)
async def test_a_send(server: OrchestratorServer, tenant: Tenant, connect: Connect, name: str) -> None:
    """The same answer to the last header, and the same figures."""
    changed, body = SENDS[name]
    headers = {
        "Authorization": f"Bearer {shared().of(tenant)}",
        "Content-Type": "application/json",
        "X-Agent-ID": tenant.agent,
        "X-Session-ID": unique("sess"),
        **changed,
    }
    await answered(server, "/api/chat/send", headers, body)  # who is first is told what later ones are not
    http = connect(server)
    moments, answers = [await counted(http)], list[tuple[list[bytes], bytes]]()
    for target in ("/api/chat/send", "/api/chat/send?"):
        answers.append(await answered(server, target, headers, body))
        moments.append(await counted(http))
    assert answers[0] == answers[1]
    assert moments[1] - moments[0] == moments[2] - moments[1]
    assert sum((moments[1] - moments[0]).values()) > 0


async def test_a_ticket(server: OrchestratorServer, tenant: Tenant) -> None:
    """The other route that is answered directly."""
    headers = {"Authorization": f"Bearer {shared().of(tenant)}", "X-Session-ID": unique("sess")}
    for body in (b"", b"{}", b'{"origin":"https://app.example.com"}', b'{"origin":1}'):
        directly = await answered(server, "/api/auth/ticket", headers, body)
        assert directly == await answered(server, "/api/auth/ticket?", headers, body)
