"""What a request states may repeat its token and not contradict it (contract §6)."""

import json
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Caller, Tenant, problem, unique
from tests.contract.conftest import NewContext, NewTenant
from tests.contract.event_stream import events
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.minting import HS256
from tests.security.user import User, attend
from tests.servers import OrchestratorServer

CONTRADICTIONS: Final = [
    ("X-Tenant-ID", "tenant_id", "another", "access_denied"),
    ("X-Tenant-ID", "tenant_id", "default", "access_denied"),
    ("X-User-ID", "user_id", "eve", "access_denied"),
    ("X-User-ID", "user_id", "Ada", "access_denied"),
    ("X-Tenant-Tier", "tier", "enterprise", "tier_mismatch"),
    ("X-Tenant-Tier", "tier", "free", "tier_mismatch"),
]
CHAT: Final = [
    ("POST", "/api/chat/send"),
    ("GET", "/api/chat/tasks/task-x"),
    ("POST", "/api/chat/tasks/task-x/cancel"),
    ("POST", "/api/chat/tasks/task-x/answer"),
    ("GET", "/api/chat/sessions/{session}"),
    ("GET", "/api/chat/sessions/{session}/events"),
    ("GET", "/api/chat/stats"),
    ("POST", "/api/auth/ticket"),
]
routes = pytest.mark.parametrize(("method", "path"), CHAT, ids=[path for _, path in CHAT])
contradictions = pytest.mark.parametrize(("header", "parameter", "value", "code"), CONTRADICTIONS)


async def ask(user: User, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """A whole request of the user, with further headers."""
    bodies: dict[str, Any] = {"send": {"message": "Hello"}, "answer": {"answer": "yes"}}
    body = bodies.get(path.rpartition("/")[2])
    return await user.http.request(
        method, path.format(session=user.session_id), headers={**user.headers, **headers}, json=body
    )


@routes
@contradictions
async def test_a_header_contradicts_the_token(
    user: User, method: str, path: str, header: str, parameter: str, value: str, code: str
) -> None:
    """403 with the code of what is contradicted, on every route of the chat."""
    del parameter
    problem(await ask(user, method, path, {header: value}), 403, code)


@routes
async def test_headers_may_repeat_the_token(user: User, method: str, path: str) -> None:
    """The flow of header mode works with a token beside it: nothing is refused for what is said twice."""
    if path.endswith("events"):
        headers = {**user.credential, **Caller(user.http, user.tenant).headers, "X-User-ID": "ada"}
        async with events(user.http, user.session_id, headers) as stream:
            assert (await stream.frame())["type"] == "connection_ack"
        return
    named = {"X-Tenant-ID": user.tenant.id, "X-Tenant-Tier": user.tenant.tier, "X-User-ID": "ada"}
    answer = await ask(user, method, path, named)
    assert answer.status_code in (200, 201, 202, 404), answer.text


@contradictions
async def test_a_parameter_of_a_stream_contradicts_the_token(
    user: User, header: str, parameter: str, value: str, code: str
) -> None:
    """The query of an `EventSource` is held to the same."""
    del header
    path = f"/api/chat/sessions/{user.session_id}/events"
    answer = await user.http.get(path, params={parameter: value}, headers=user.credential)
    problem(answer, 403, code)


@contradictions
async def test_a_handshake_contradicts_the_token(
    service: OrchestratorServer, user: User, header: str, parameter: str, value: str, code: str
) -> None:
    """4403, by a parameter or by a header, with the token in the handshake or in the first frame."""
    del code
    by_query = socket_url(service, user.session_id, **{parameter: value})
    plain = socket_url(service, user.session_id)
    frame = json.dumps({"type": "auth", "token": user.token})
    for url, headers in ((by_query, {}), (plain, {header: value})):
        async with dial(url, additional_headers={**headers, **user.credential}) as socket:
            assert (await closing(socket))[0] == 4403
        async with dial(url, additional_headers=headers) as socket:
            await socket.send(frame)
            assert (await closing(socket))[0] == 4403


async def test_a_token_for_one_session(
    http: httpx.AsyncClient, tenant: Tenant, service: OrchestratorServer
) -> None:
    """With `session_id` it reaches that one alone, and need not be told which."""
    elsewhere = User(http, tenant)
    task = (await elsewhere.accepted())["task_id"]
    bound = User(http, tenant)
    bound.token = HS256.of(tenant, session_id=bound.session_id)
    accepted = await bound.accepted(headers={"X-Session-ID": None})
    assert accepted["session_id"] == bound.session_id
    problem(await bound.send(headers={"X-Session-ID": elsewhere.session_id}), 403, "session_denied")
    for path in (
        f"/api/chat/sessions/{elsewhere.session_id}",
        f"/api/chat/sessions/{elsewhere.session_id}/events",
    ):
        problem(await bound.ask("GET", path), 403, "session_denied")
    ticket = await bound.ask("POST", "/api/auth/ticket", {"X-Session-ID": elsewhere.session_id})
    problem(ticket, 403, "session_denied")
    own = accepted["task_id"]
    for method, path in (
        ("GET", f"/api/chat/tasks/{own}"),
        ("POST", f"/api/chat/tasks/{own}/cancel"),
        ("POST", f"/api/chat/tasks/{own}/answer"),
        ("GET", f"/api/chat/sessions/{bound.session_id}"),
        ("GET", f"/api/chat/sessions/{bound.session_id}/events"),
    ):
        contradicted = await bound.ask(method, path, {"X-Session-ID": elsewhere.session_id})
        problem(contradicted, 403, "session_denied")
    assert (await bound.ask("GET", f"/api/chat/tasks/{own}", bound.headers)).status_code == 200
    for method, path in (("GET", f"/api/chat/tasks/{task}"), ("POST", f"/api/chat/tasks/{task}/cancel")):
        assert (await bound.ask(method, path)).status_code in (403, 404)
    async with dial(socket_url(service, elsewhere.session_id), additional_headers=bound.credential) as socket:
        assert (await closing(socket))[0] == 4403
    async with attend(service, bound, accepted["position"]) as socket:
        await socket.send({"type": "cancel", "task_id": task})
        assert (await socket.until("error"))["data"]["code"] in ("not_found", "session_denied")
        told = await socket.answer({"type": "answer", "task_id": task, "answer": 1})
        assert told["data"]["code"] == "not_found"
    answered = await bound.ask("POST", f"/api/chat/tasks/{task}/answer", json={"answer": 1})
    assert answered.status_code in (403, 404)
    assert await elsewhere.status(task) in ("accepted", "queued")


async def test_a_token_for_some_agents(
    http: httpx.AsyncClient, tenant: Tenant, new_context: NewContext, service: OrchestratorServer
) -> None:
    """With `agents` it reaches these alone, by HTTP and by frame, however they are spelled."""
    other = await new_context(tenant, "agent")
    short = tenant.agent.removeprefix("agent-")
    for agents in ([tenant.agent], [short], [short, "agent-unknown"]):
        user = User(http, tenant, agents=agents)
        for name in (tenant.agent, short):
            await user.accepted(headers={"X-Agent-ID": name})
        for name in (other, other.removeprefix("agent-"), "agent-unknown"):
            problem(await user.send(headers={"X-Agent-ID": name}), 403, "access_denied")
        async with attend(service, user) as socket:
            said = {"type": "send", "message": "Hello"}
            assert (await socket.answer({**said, "agent_id": other}))["data"]["code"] == "access_denied"
            assert (await socket.answer({**said, "agent_id": short}))["type"] == "accepted"


@pytest.mark.parametrize("kind", ["workflow", "collection"])
async def test_agents_of_a_token_are_all_that_it_reaches(
    http: httpx.AsyncClient, tenant: Tenant, new_context: NewContext, kind: Any
) -> None:
    """A workflow or a collection is not reached around the list of agents."""
    other = await new_context(tenant, kind)
    user = User(http, tenant, agents=[tenant.agent])
    context = {
        "X-Context-Type": kind,
        "X-Agent-ID": other,
        "X-Collection-ID": other if kind == "collection" else None,
    }
    problem(await user.send(headers=context), 403, "access_denied")


async def test_a_token_for_no_agents(http: httpx.AsyncClient, tenant: Tenant) -> None:
    """An empty list is a list: it reaches none."""
    problem(await User(http, tenant, agents=[]).send(), 403, "access_denied")


async def test_agents_of_a_token_open_nothing_foreign(
    http: httpx.AsyncClient, tenant: Tenant, new_tenant: NewTenant
) -> None:
    """The list narrows what the tenant may; it grants nothing."""
    foreign = (await new_tenant()).agent
    user = User(http, tenant, agents=[foreign, tenant.agent])
    problem(await user.send(headers={"X-Agent-ID": foreign}), 403, "access_denied")


async def test_a_frame_contradicts_the_socket(service: OrchestratorServer, user: User) -> None:
    """`user_id` of a `send` frame may repeat the token's user and name no other."""
    said = {"type": "send", "message": "Hello", "agent_id": user.tenant.agent}
    async with attend(service, user) as socket:
        assert (await socket.answer({**said, "user_id": "eve"}))["data"]["code"] == "access_denied"
        assert (await socket.answer({**said, "user_id": "ada"}))["type"] == "accepted"


async def test_a_tier_that_the_tenant_has_no_more(
    http: httpx.AsyncClient, tenant: Tenant, service: OrchestratorServer
) -> None:
    """A token whose tier is not the tenant's in the database: 403 `tier_mismatch`, 4403."""
    user = User(http, tenant, tier="enterprise")
    problem(await user.send(), 403, "tier_mismatch")
    async with dial(socket_url(service, user.session_id), additional_headers=user.credential) as socket:
        assert (await closing(socket))[0] == 4403


async def test_a_tenant_that_does_not_exist(
    http: httpx.AsyncClient, tenant: Tenant, service: OrchestratorServer
) -> None:
    """A token is no record: 403 `access_denied`, 4403."""
    user = User(http, tenant, tenant_id=unique("nobody"))
    problem(await user.send(), 403, "access_denied")
    async with dial(socket_url(service, user.session_id), additional_headers=user.credential) as socket:
        assert (await closing(socket))[0] == 4403
