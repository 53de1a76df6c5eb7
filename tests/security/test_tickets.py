"""One-time tickets: single use, for one tenant, session, user and origin (contract §6)."""

import asyncio
import json
import re
import time
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Caller, Tenant, problem, unique
from tests.contract.conftest import Connect, NewTenant, StartService
from tests.contract.event_stream import events
from tests.contract.socket_client import closing, dial, socket_url
from tests.planted import Planted
from tests.security.marks import BOTH
from tests.security.minting import HS256
from tests.security.user import User
from tests.servers import OrchestratorServer, wait_until

pytestmark = BOTH

PAGE: Final = "https://chat.example.com"
OTHER_PAGE: Final = "https://app.example.com"


@pytest.fixture
def server(service_with: StartService) -> OrchestratorServer:
    """A server that two pages may use from elsewhere."""
    return service_with(allowed_origins=f"{PAGE},{OTHER_PAGE}")


@pytest.fixture
def visitor(server: OrchestratorServer, connect: Connect, tenant: Tenant) -> User:
    """Ada at that server."""
    return User(connect(server), tenant)


@pytest.fixture
def ticketed(planted: Planted) -> Any:
    """Asks for a ticket for the user's session; what comes must never be logged."""

    async def ask(user: User, headers: dict[str, str] | None = None, **request: Any) -> str:
        named = {"X-Session-ID": user.session_id, **(headers or {})}
        answer = await user.ask("POST", "/api/auth/ticket", named, **request)
        assert answer.status_code == 201, answer.text
        return planted.add(answer.json()["ticket"])

    return ask


async def outcome(server: OrchestratorServer, session: str, headers: Any = None, **query: str) -> int:
    """The close code of a socket; 0 where it was acknowledged."""
    async with dial(socket_url(server, session, **query), additional_headers=headers or {}) as socket:
        receiving = asyncio.ensure_future(socket.recv())
        await asyncio.wait([receiving], timeout=10)
        if receiving.done() and receiving.exception() is None:
            assert json.loads(receiving.result())["type"] == "connection_ack"
            return 0
        return (await closing(socket))[0]


def stream_path(session: str) -> str:
    """The stream of a session."""
    return f"/api/chat/sessions/{session}/events"


async def test_the_answer_to_the_letter(visitor: User, ticketed: Any) -> None:
    """201 `{"ticket","expires_in":30}`, at least 128 random bits, not to be stored, and each time another."""
    answer = await visitor.ask("POST", "/api/auth/ticket", {"X-Session-ID": visitor.session_id})
    assert answer.status_code == 201
    assert answer.json() == {"ticket": answer.json()["ticket"], "expires_in": 30}
    assert answer.headers["cache-control"] == "no-store"
    found = {await ticketed(visitor) for _ in range(5)} | {answer.json()["ticket"]}
    assert len(found) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,}", ticket) for ticket in found)


async def test_too_many_tickets(server: OrchestratorServer, visitor: User, connect: Connect) -> None:
    """A user who asks without end gets 429 with `Retry-After`; another user of the tenant is not held up."""
    named = {"X-Session-ID": visitor.session_id}
    answers = [await visitor.ask("POST", "/api/auth/ticket", named) for _ in range(50)]
    assert [answer.status_code for answer in answers[:30]] == [201] * 30
    refused = next(answer for answer in answers if answer.status_code != 201)
    assert problem(refused, 429, "rate_limited")["retry_after"] in {1, 2}
    eve = User(connect(server), visitor.tenant, "eve")
    assert (await eve.ask("POST", "/api/auth/ticket", named)).status_code == 201


async def test_a_ticket_opens_one_socket(server: OrchestratorServer, visitor: User, ticketed: Any) -> None:
    """Used once: the second socket is 4401, and so is a stream."""
    ticket = await ticketed(visitor)
    assert await outcome(server, visitor.session_id, ticket=ticket) == 0
    assert await outcome(server, visitor.session_id, ticket=ticket) == 4401
    problem(
        await visitor.http.get(stream_path(visitor.session_id), params={"ticket": ticket}),
        401,
        "unauthorized",
    )


async def test_many_at_once_with_one_ticket(server: OrchestratorServer, visitor: User, ticketed: Any) -> None:
    """Exactly one of ten wins."""
    ticket = await ticketed(visitor)
    codes = await asyncio.gather(*(outcome(server, visitor.session_id, ticket=ticket) for _ in range(10)))
    assert sorted(codes) == [0] + [4401] * 9


async def test_a_ticket_is_good_at_another_replica(
    start_service: StartService, connect: Connect, tenant: Tenant, ticketed: Any
) -> None:
    """Issued at one, taken at the other, and spent at both."""
    first, second = start_service(), start_service()
    user = User(connect(first), tenant)
    ticket = await ticketed(user)
    assert await outcome(second, user.session_id, ticket=ticket) == 0
    assert await outcome(first, user.session_id, ticket=ticket) == 4401


async def test_a_ticket_for_another_session(server: OrchestratorServer, visitor: User, ticketed: Any) -> None:
    """4403 at another session's socket, 403 at its stream."""
    assert await outcome(server, unique("sess"), ticket=await ticketed(visitor)) == 4403
    params = {"ticket": await ticketed(visitor)}
    problem(await visitor.http.get(stream_path(unique("sess")), params=params), 403, "session_denied")


@pytest.mark.parametrize(
    ("parameter", "value", "code"),
    [
        ("tenant_id", "another", "access_denied"),
        ("user_id", "eve", "access_denied"),
        ("tier", "enterprise", "tier_mismatch"),
    ],
)
async def test_a_ticket_for_somebody_else(
    server: OrchestratorServer, visitor: User, ticketed: Any, parameter: str, value: str, code: str
) -> None:
    """Its tenant, user and tier may be repeated beside it, not contradicted."""
    stated = {parameter: value}
    assert await outcome(server, visitor.session_id, ticket=await ticketed(visitor), **stated) == 4403
    query = {"ticket": await ticketed(visitor), **stated}
    problem(await visitor.http.get(stream_path(visitor.session_id), params=query), 403, code)


async def test_a_ticket_speaks_for_its_user(server: OrchestratorServer, visitor: User, ticketed: Any) -> None:
    """Who comes with a ticket is bound by the session's owner like anybody else."""
    await visitor.accepted()
    eve = User(visitor.http, visitor.tenant, "eve", visitor.session_id)
    answer = await eve.ask("POST", "/api/auth/ticket", {"X-Session-ID": eve.session_id})
    if answer.status_code == 201:  # the session may be asked about here or where it is followed
        assert await outcome(server, eve.session_id, ticket=answer.json()["ticket"]) == 4403
    else:
        problem(answer, 403, "session_denied")


async def test_a_ticket_of_one_origin(server: OrchestratorServer, visitor: User, ticketed: Any) -> None:
    """Asked for by a page, it is for that page: neither another listed one nor a server can use it."""
    session, page = visitor.session_id, {"Origin": PAGE}
    for headers in ({"Origin": OTHER_PAGE}, {"Origin": server.url}, {}):
        assert await outcome(server, session, headers, ticket=await ticketed(visitor, page)) == 4403
    assert await outcome(server, session, page, ticket=await ticketed(visitor, page)) == 0
    query = {"ticket": await ticketed(visitor, page)}
    stream = await visitor.http.get(stream_path(session), params=query, headers={"Origin": OTHER_PAGE})
    problem(stream, 403, "access_denied")


async def test_a_ticket_for_a_named_origin(server: OrchestratorServer, visitor: User, ticketed: Any) -> None:
    """A server asks for its page, and names it; one that is not allowed cannot be named."""
    session = visitor.session_id
    ticket = await ticketed(visitor, json={"origin": PAGE})
    assert await outcome(server, session, {"Origin": OTHER_PAGE}, ticket=ticket) == 4403
    ticket = await ticketed(visitor, json={"origin": PAGE})
    assert await outcome(server, session, {"Origin": PAGE}, ticket=ticket) == 0
    named = {"X-Session-ID": session}
    for origin in ("https://evil.example", "null", "*", "https://chat.example.com.evil.example"):
        answer = await visitor.ask("POST", "/api/auth/ticket", named, json={"origin": origin})
        problem(answer, 403, "access_denied")
    contradicting = {**named, "Origin": OTHER_PAGE}
    answer = await visitor.ask("POST", "/api/auth/ticket", contradicting, json={"origin": PAGE})
    problem(answer, 403, "access_denied")


async def test_a_ticket_ends_with_its_token(
    server: OrchestratorServer, connect: Connect, tenant: Tenant, ticketed: Any
) -> None:
    """After the token expired its tickets open nothing, used before or not."""
    exp = time.time() + 2
    user = User(connect(server), tenant, exp=exp)
    fresh, streamed = await ticketed(user), await ticketed(user)
    async with events(user.http, user.session_id, params={"ticket": streamed}) as stream:
        assert (await stream.frame())["type"] == "connection_ack"
    await wait_until(lambda: time.time() > exp)
    assert await outcome(server, user.session_id, ticket=fresh) == 4401
    for ticket in (fresh, streamed):
        answer = await user.http.get(stream_path(user.session_id), params={"ticket": ticket})
        problem(answer, 401, "unauthorized")


async def test_a_stream_comes_again_with_its_ticket(
    server: OrchestratorServer, visitor: User, ticketed: Any
) -> None:
    """`EventSource` reconnects by itself: reusable for that session's stream, and for nothing else."""
    ticket = await ticketed(visitor)
    for _ in range(3):
        async with events(visitor.http, visitor.session_id, params={"ticket": ticket}) as stream:
            assert (await stream.frame())["type"] == "connection_ack"
    assert await outcome(server, visitor.session_id, ticket=ticket) == 4401
    answer = await visitor.http.get(stream_path(unique("sess")), params={"ticket": ticket})
    problem(answer, 403, "session_denied")


async def test_a_ticket_opens_no_request(visitor: User, ticketed: Any) -> None:
    """Nothing but sockets and streams: neither as a token nor as a parameter."""
    ticket = await ticketed(visitor)
    for headers, params in (({"Authorization": f"Bearer {ticket}"}, {}), ({}, {"ticket": ticket})):
        answer = await visitor.http.get("/api/chat/stats", headers=headers, params=params)
        problem(answer, 401, "unauthorized")
        again = {**headers, "X-Session-ID": visitor.session_id}
        problem(
            await visitor.http.post("/api/auth/ticket", headers=again, params=params), 401, "unauthorized"
        )


@pytest.mark.parametrize(
    "ticket",
    ["", "x", "A" * 43, "A" * 2_000, "{x}", "*", "../../x", "a\nb", "a\0b", "tïcket", "null", "ticket-1"],
)
async def test_a_ticket_that_never_was(server: OrchestratorServer, visitor: User, ticket: str) -> None:
    """4401 and 401, whatever stands there."""
    assert await outcome(server, visitor.session_id, ticket=ticket) == 4401
    answer = await visitor.http.get(stream_path(visitor.session_id), params={"ticket": ticket})
    problem(answer, 401, "unauthorized")


async def test_two_tickets(server: OrchestratorServer, visitor: User, ticketed: Any) -> None:
    """A parameter that is given twice is refused, and uses up neither."""
    first, second = await ticketed(visitor), await ticketed(visitor)
    url = f"{socket_url(server, visitor.session_id, ticket=first)}&ticket={second}"
    async with dial(url) as socket:
        assert (await closing(socket))[0] == 4400
    for ticket in (first, second):
        async with dial(socket_url(server, visitor.session_id, ticket=ticket)) as socket:
            assert json.loads(await asyncio.wait_for(socket.recv(), 5))["type"] == "connection_ack"


async def test_no_ticket_in_header_mode(
    header_service: OrchestratorServer, connect: Connect, tenant: Tenant, visitor: User, ticketed: Any
) -> None:
    """Tickets are given for tokens and taken where there are some: 401, 4401."""
    caller = Caller(connect(header_service), tenant, visitor.session_id)
    problem(await caller.http.post("/api/auth/ticket", headers=caller.headers), 401, "unauthorized")
    ticket = await ticketed(visitor)
    stated = {"tenant_id": tenant.id, "tier": tenant.tier}
    assert await outcome(header_service, caller.session_id, ticket=ticket, **stated) == 4401
    answer = await caller.http.get(stream_path(caller.session_id), params={"ticket": ticket, **stated})
    problem(answer, 401, "unauthorized")


async def test_a_ticket_needs_its_session(visitor: User) -> None:
    """`X-Session-ID` unless the token is bound to one, and a valid one."""
    missing = problem(await visitor.ask("POST", "/api/auth/ticket"), 400, "missing_headers")["missing"]
    assert missing == ["X-Session-ID"]
    for session in ("a b", "{x}", "*", "x" * 129):
        answer = await visitor.ask("POST", "/api/auth/ticket", {"X-Session-ID": session})
        problem(answer, 400, "invalid_id")


async def test_a_ticket_of_a_bound_token(
    server: OrchestratorServer, connect: Connect, tenant: Tenant, ticketed: Any, new_tenant: NewTenant
) -> None:
    """What binds the token binds the ticket: its session, and its agents."""
    user = User(connect(server), tenant, agents=["agent-unknown"])
    ticket = await ticketed(user)
    async with dial(socket_url(server, user.session_id, ticket=ticket)) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "send", "message": "Hello", "agent_id": tenant.agent}))
        assert json.loads(await socket.recv())["data"]["code"] == "access_denied"
    user.token = HS256.of(tenant, session_id=user.session_id)
    answer = await user.ask("POST", "/api/auth/ticket")
    assert answer.status_code == 201, answer.text


async def test_redis_has_no_ticket(visitor: User, ticketed: Any, redis_client: Any) -> None:
    """Who reads Redis cannot use what is there: no key and no value holds a ticket that was issued."""
    ticket = await ticketed(visitor)
    async for key in redis_client.scan_iter(count=1000):
        assert ticket not in key
        if await redis_client.type(key) == "string":
            raw = await redis_client.execute_command("DUMP", key, NEVER_DECODE=True)
            assert ticket.encode() not in raw


async def test_a_ticket_is_no_way_around_http(http: httpx.AsyncClient, visitor: User, ticketed: Any) -> None:
    """A good token beside it does not make a bad ticket good, nor the other way round."""
    query = {"ticket": await ticketed(visitor)}
    bad = {"Authorization": "Bearer x"}
    answer = await visitor.http.get(stream_path(visitor.session_id), params=query, headers=bad)
    problem(answer, 401, "unauthorized")
