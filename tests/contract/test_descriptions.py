"""/openapi.json is true: what a running server answers is as it describes it (contract §3).

What is compared may have nothing that the description does not name. `tests/api` checks the documents by themselves.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.documents import Document, check, resolved
from tests.contract.client import Agent, Caller, Tenant, unique
from tests.contract.conftest import Connect, NewTenant, StartService
from tests.contract.event_stream import followed
from tests.contract.exchange import ended
from tests.servers import valkey_server, wait_until

HEALTH = ("/health", "/api/chat/health", "/ws/health", "/health/live", "/health/ready")


@pytest.fixture
async def openapi(http: httpx.AsyncClient) -> Document:
    """The description of the HTTP interface, as the server gives it."""
    return (await http.get("/openapi.json")).json()


def holds(document: Document, path: str, answer: httpx.Response) -> None:
    """Fails unless this answer of a path is described: status, type, headers, and the body in full."""
    operation = document["paths"][path][answer.request.method.lower()]
    described = operation["responses"].get(str(answer.status_code))
    assert described, f"{path} does not tell of {answer.status_code}: {answer.text}"
    for name, reference in described.get("headers", {}).items():
        header = resolved(document, reference)
        if name in answer.headers:
            check(document, header["schema"], answer.headers[name])
        else:
            assert not header.get("required"), f"{path} {answer.status_code} has no {name}"
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in described["content"], f"{path} does not tell of {kind}"
    if kind.endswith("json"):
        check(document, described["content"][kind]["schema"], answer.json())


async def conversation(caller: Caller, agent: Agent, ending: str = "completed") -> str:
    """A message, a piece of its answer, and its ending: the task."""
    accepted = await caller.accepted()
    task = await agent.take()
    await agent.report(task, "streaming", seq=0, result={"delta": "Hi"})
    if ending == "completed":
        await agent.complete(task, execution_time=0.5, tokens_used={"total": 3})
    else:
        await agent.report(task, ending, result={"error": {"type": "E", "message": "No", "code": "own"}})
    await ended(caller, accepted["task_id"])
    return accepted["task_id"]


async def test_an_accepted_message(openapi: Document, caller: Caller) -> None:
    """The 202, and the same once more for an idempotency key."""
    key = {"Idempotency-Key": unique("key")}
    for _ in range(2):
        answer = await caller.send(headers=key)
        assert answer.status_code == 202
        assert {"ratelimit", "ratelimit-policy"} <= answer.headers.keys()
        holds(openapi, "/api/chat/send", answer)


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
async def test_a_ledger_and_its_session(openapi: Document, caller: Caller, agent: Agent, ending: str) -> None:
    """The ledger of a waiting and of an ended task, and the view of the session with both."""
    task = await conversation(caller, agent, ending)
    waiting = (await caller.accepted())["task_id"]
    for one in (task, waiting):
        holds(openapi, "/api/chat/tasks/{task_id}", await caller.get(f"/api/chat/tasks/{one}"))
    session = await caller.get(f"/api/chat/sessions/{caller.session_id}")
    assert len(session.json()["tasks"]) == 2
    holds(openapi, "/api/chat/sessions/{session_id}", session)
    holds(openapi, "/api/chat/tasks/{task_id}/cancel", await caller.cancel(waiting))


async def test_figures(openapi: Document, caller: Caller, agent: Agent) -> None:
    """The tenant's, the sockets', the deployment's and the queues', with something in each."""
    await conversation(caller, agent)
    await caller.accepted()
    async with followed(caller):

        async def counted() -> bool:
            stats = (await caller.http.get("/ws/stats")).json()
            return stats["by_tenant"].get(caller.tenant.id) == 1

        await wait_until(counted)
        for path in ("/api/chat/stats", "/ws/stats", "/metrics/overview", "/metrics/queues", "/metrics"):
            answer = await caller.get(path)
            assert answer.status_code == 200
            holds(openapi, path, answer)


async def test_health(openapi: Document, http: httpx.AsyncClient) -> None:
    """What a healthy service says."""
    for path in HEALTH:
        answer = await http.get(path)
        assert answer.status_code == 200
        holds(openapi, path, answer)


async def test_pages(openapi: Document, http: httpx.AsyncClient) -> None:
    """The pages and the descriptions have the types that they are said to have."""
    for path in ("/", "/docs", "/openapi.json", "/asyncapi.json"):
        holds(openapi, path, await http.get(path))


async def test_what_is_said_without_redis(
    openapi: Document, start_service: StartService, connect: Connect, tenant: Tenant, tmp_path: Path
) -> None:
    """503s: of health as its own objects, of everything that asks Redis as problems."""
    with valkey_server(tmp_path / "valkey") as own:
        caller = Caller(connect(start_service(redis_url=own.url)), tenant)
        await caller.accepted()
        own.kill()

        async def unready() -> bool:
            return (await caller.http.get("/health/ready")).status_code == 503

        await wait_until(unready, within=20)
        for path in (*HEALTH[:3], "/health/ready", "/ws/stats", "/metrics/overview", "/metrics/queues"):
            answer = await caller.http.get(path)
            assert answer.status_code == 503, path
            holds(openapi, path, answer)
        for path, answer in {
            "/api/chat/send": await caller.send(),
            "/api/chat/stats": await caller.get("/api/chat/stats"),
            "/api/chat/tasks/{task_id}": await caller.get("/api/chat/tasks/task-0123456789abcdef"),
            "/api/chat/sessions/{session_id}/events": await caller.get("/api/chat/sessions/s/events"),
        }.items():
            assert answer.status_code == 503, path
            holds(openapi, path, answer)


REFUSED_SENDS: list[tuple[str, dict[str, str | None], dict[str, Any]]] = [
    ("missing_headers", {"X-Session-ID": None}, {}),
    ("invalid_tier", {"X-Tenant-Tier": "gold"}, {}),
    ("invalid_context_type", {"X-Context-Type": "team"}, {}),
    ("invalid_id", {"X-Agent-ID": "a b"}, {}),
    ("invalid_id", {"Idempotency-Key": "x" * 129}, {}),
    ("invalid_body", {}, {"mesage": "typo"}),
    ("access_denied", {"X-Agent-ID": "agent-nobody"}, {}),
    ("access_denied", {"Origin": "https://elsewhere.example"}, {}),
    ("tier_mismatch", {"X-Tenant-Tier": "free"}, {}),
    ("payload_too_large", {}, {"metadata": {"x": "x" * 300_000}}),
    ("unsupported_media_type", {"Content-Encoding": "gzip"}, {}),
]


@pytest.mark.parametrize(("code", "headers", "members"), REFUSED_SENDS, ids=lambda value: str(value)[:40])
async def test_a_refused_send(
    openapi: Document, caller: Caller, code: str, headers: dict[str, str | None], members: dict[str, Any]
) -> None:
    """Each problem is one that the operation tells of, with members that it names."""
    answer = await caller.send("Hello", headers, **members)
    assert answer.json()["code"] == code
    holds(openapi, "/api/chat/send", answer)


async def test_a_send_refused_by_what_was_before(
    openapi: Document, http: httpx.AsyncClient, new_tenant: NewTenant
) -> None:
    """Another user's session, a key used twice, a busy session, a full queue, too many requests."""

    async def codes(caller: Caller, *sends: Awaitable[httpx.Response]) -> str:
        *_, answer = [await send for send in sends]
        assert {"ratelimit", "ratelimit-policy"} <= answer.headers.keys()
        holds(openapi, "/api/chat/send", answer)
        return answer.json()["code"]

    caller, key = Caller(http, await new_tenant()), {"Idempotency-Key": unique("key")}
    assert await codes(caller, caller.send("A", key), caller.send("B", key)) == "idempotency_conflict"
    ada, bob = {"X-User-ID": "ada"}, {"X-User-ID": "bob"}
    caller = Caller(http, await new_tenant())
    assert await codes(caller, caller.send("A", ada), caller.send("B", bob)) == "session_denied"
    caller = Caller(http, await new_tenant())
    assert await codes(caller, caller.send(), caller.send(turn_policy="reject")) == "session_busy"
    caller = Caller(http, await new_tenant(max_outstanding=1))
    assert await codes(caller, caller.send(), caller.send()) == "queue_full"
    caller = Caller(http, await new_tenant(requests_per_minute=1))
    assert await codes(caller, *(caller.send() for _ in range(6))) == "rate_limited"


async def test_refusals_of_the_other_routes(openapi: Document, caller: Caller) -> None:
    """What is not found, not allowed here, or asked for without a tenant."""
    missing: Callable[[str], Awaitable[httpx.Response]] = caller.http.get
    events = "/api/chat/sessions/{session_id}/events"
    for path, status, answer in (
        ("/api/chat/tasks/{task_id}", 404, await caller.get("/api/chat/tasks/task-nobodys")),
        ("/api/chat/tasks/{task_id}", 400, await missing("/api/chat/tasks/task-nobodys")),
        ("/api/chat/tasks/{task_id}/cancel", 404, await caller.cancel("task-nobodys")),
        ("/api/chat/sessions/{session_id}", 404, await caller.get("/api/chat/sessions/nobodys")),
        ("/api/chat/sessions/{session_id}", 400, await caller.get("/api/chat/sessions/a:b")),
        (events, 400, await missing("/api/chat/sessions/s/events")),
        (events, 403, await missing(f"/api/chat/sessions/s/events?tenant_id={unique('t')}&tier=free")),
        ("/api/chat/stats", 400, await missing("/api/chat/stats")),
        ("/api/chat/stats", 431, await caller.http.get("/api/chat/stats", headers={"X-F": "x" * 100_000})),
        ("/api/auth/ticket", 401, await caller.http.post("/api/auth/ticket", headers=caller.headers)),
        ("/ws/stats", 400, await missing("/ws/stats?tenant_id=a:b")),
        ("/metrics", 403, await caller.http.get("/metrics", headers={"Origin": "https://else.example"})),
    ):
        assert answer.status_code == status, answer.text
        holds(openapi, path, answer)


async def test_too_many_streams(openapi: Document, http: httpx.AsyncClient, new_tenant: NewTenant) -> None:
    """One stream more than the tenant may have is refused as described."""
    caller = Caller(http, await new_tenant(max_connections=1))
    async with followed(caller):
        answer = await caller.get(f"/api/chat/sessions/{caller.session_id}/events")
        assert answer.json()["code"] == "rate_limited"
        holds(openapi, "/api/chat/sessions/{session_id}/events", answer)


async def test_a_problem_of_no_route(openapi: Document, caller: Caller) -> None:
    """404 and 405 of the router are problem documents too."""
    for answer in (await caller.get("/nothing"), await caller.http.delete("/health")):
        check(openapi, {"$ref": "#/components/schemas/Problem"}, answer.json())
