"""/openapi.json is true of a server with tokens: what it asks for, and every answer of administration."""

from typing import Any

import httpx
import pytest
from tests.api.documents import Document
from tests.contract.administrator import Administrator
from tests.contract.client import Tenant, problem, unique
from tests.contract.test_descriptions import holds
from tests.security.user import User


@pytest.fixture
async def openapi(admin: Administrator) -> Document:
    """The description, as the server with tokens gives it."""
    return (await admin.http.get("/openapi.json")).json()


async def held(
    openapi: Document, admin: Administrator, method: str, path: str, route: str, body: Any = None
) -> int:
    """Asks, and holds the answer against what is said of the route."""
    given = {} if body is None else {"json": body}
    answer = await admin.ask(method, path, **given)
    holds(openapi, f"/api/admin{route}", answer)
    return answer.status_code


async def test_tenants(openapi: Document, admin: Administrator) -> None:
    """Every answer about a tenant."""
    name, other = unique("tenant"), unique("nobody")
    one = "/tenants/{tenant_id}"
    new = {"id": name, "tier": "free", "limits": {"weight": 3}}
    asked: list[tuple[str, str, str, Any, int]] = [
        ("POST", "/tenants", "/tenants", new, 201),
        ("POST", "/tenants", "/tenants", new, 409),
        ("POST", "/tenants", "/tenants", {}, 400),
        ("POST", "/tenants", "/tenants", {"id": "a b", "tier": "free"}, 400),
        ("GET", "/tenants?limit=1", "/tenants", None, 200),
        ("GET", "/tenants?x=1", "/tenants", None, 400),
        ("GET", f"/tenants/{name}", one, None, 200),
        ("GET", f"/tenants/{other}", one, None, 404),
        ("PATCH", f"/tenants/{name}", one, {"limits": {"weight": None}}, 200),
        ("PATCH", f"/tenants/{name}", one, {}, 400),
        ("PATCH", f"/tenants/{other}", one, {"tier": "free"}, 404),
        ("POST", f"/tenants/{name}/suspend", f"{one}/suspend", None, 200),
        ("POST", f"/tenants/{other}/suspend", f"{one}/suspend", None, 404),
        ("POST", f"/tenants/{name}/resume", f"{one}/resume", None, 200),
    ]
    for method, path, route, body, status in asked:
        assert await held(openapi, admin, method, path, route, body) == status, (method, path)


@pytest.mark.parametrize("kind", ["agents", "workflows", "collections"])
async def test_contexts(openapi: Document, admin: Administrator, kind: str) -> None:
    """Every answer about an agent, a workflow or a collection."""
    owner, friend = await admin.tenant(), await admin.tenant()
    name = unique("c")
    every, one, grant = f"/{kind}", f"/{kind}/{{context_id}}", f"/{kind}/{{context_id}}/grants/{{tenant_id}}"
    asked: list[tuple[str, str, str, Any, int]] = [
        ("POST", every, every, {"id": name, "tenant_id": owner}, 201),
        ("POST", every, every, {"id": name, "tenant_id": owner}, 409),
        ("POST", every, every, {"id": name, "tenant_id": unique("nobody")}, 404),
        ("POST", every, every, {"id": name}, 400),
        ("PUT", f"{every}/{name}/grants/{friend}", grant, None, 200),
        ("GET", f"{every}?tenant_id={friend}", every, None, 200),
        ("GET", f"{every}/{name}", one, None, 200),
        ("PATCH", f"{every}/{name}", one, {"active": False}, 200),
        ("DELETE", f"{every}/{name}/grants/{friend}", grant, None, 200),
        ("DELETE", f"{every}/{name}/grants/{friend}", grant, None, 404),
        ("GET", f"{every}/{unique('c')}", one, None, 404),
    ]
    for method, path, route, body, status in asked:
        assert await held(openapi, admin, method, path, route, body) == status, (method, path)


async def test_what_belongs_to_no_record(openapi: Document, admin: Administrator) -> None:
    """Limits, revocation, audit; and what everybody gets who sends too much."""
    tenant_id = await admin.tenant()
    revocation = {"tenant_id": tenant_id, "sub": "eve"}
    asked: list[tuple[str, str, str, Any, int]] = [
        ("GET", "/limits", "/limits", None, 200),
        ("PATCH", "/limits/free", "/limits/{tier}", {"limits": {}}, 200),
        ("PATCH", "/limits/gold", "/limits/{tier}", {"limits": {}}, 400),
        ("POST", "/tokens/revoke", "/tokens/revoke", revocation, 200),
        ("POST", "/tokens/revoke", "/tokens/revoke", {"tenant_id": None, "sub": unique("nobody")}, 200),
        ("POST", "/tokens/revoke", "/tokens/revoke", {"tenant_id": tenant_id, "sub": "x" * 300_000}, 413),
        ("GET", "/audit", "/audit", None, 200),
        ("GET", f"/audit?tenant_id={tenant_id}&limit=1", "/audit", None, 200),
        ("GET", "/audit?before=x", "/audit", None, 400),
    ]
    for method, path, route, body, status in asked:
        assert await held(openapi, admin, method, path, route, body) == status, (method, path)


async def test_a_ticket(openapi: Document, admin: Administrator) -> None:
    """The 201, with and without an origin, and what is refused; nobody may keep it in a cache."""
    tenant_id = await admin.tenant()
    user = User(admin.http, Tenant(tenant_id, "professional", "agent-1"))
    session = {"X-Session-ID": user.session_id}
    asked: list[tuple[dict[str, str], dict[str, Any], int]] = [
        (session, {}, 201),
        (session, {"json": {}}, 201),
        (session, {"json": {"origin": "https://elsewhere.example"}}, 403),
        (session, {"json": {"origins": []}}, 400),
        ({}, {}, 400),
        ({**session, "X-Tenant-ID": "another"}, {}, 403),
        ({**session, "X-Tenant-Tier": "free"}, {}, 403),
        ({**session, "Authorization": "Bearer x"}, {}, 401),
    ]
    for headers, request, status in asked:
        answer = await user.ask("POST", "/api/auth/ticket", headers, **request)
        assert answer.status_code == status, answer.text
        holds(openapi, "/api/auth/ticket", answer)
        assert status != 201 or answer.headers["cache-control"] == "no-store"


async def test_what_a_token_may_not(openapi: Document, admin: Administrator) -> None:
    """401 and 403 of every guarded operation are described, with the scope that is missing."""
    tenant = Tenant(await admin.tenant(), "professional", "agent-1")
    metrics, chat = (User(admin.http, tenant, scope=scope) for scope in ("metrics", "chat"))
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            url = path.replace("{tier}", "free").replace("{", "").replace("}", "")
            needed = [scope for one in operation["security"] for scope in one.get("bearer", [])]
            if not needed:
                continue
            answer = await admin.http.request(method, url)
            problem(answer, 401, "unauthorized")
            holds(openapi, path, answer)
            answer = await (metrics if needed == ["chat"] else chat).ask(method, url)
            assert problem(answer, 403, "insufficient_scope")["scope"] == needed[0], path
            holds(openapi, path, answer)


async def test_what_is_open(openapi: Document, admin: Administrator) -> None:
    """A route that asks for nothing by the description answers without a token; no other one does."""
    for path, item in openapi["paths"].items():
        if "get" in item:
            url = path.replace("{", "").replace("}", "")
            answer = await admin.http.get(url)
            assert (answer.status_code == 401) == bool(item["get"]["security"]), path


async def test_a_server_without_tokens_says_so(http: httpx.AsyncClient) -> None:
    """There, only administration needs one, and the headers that a token would replace are required."""
    document = (await http.get("/openapi.json")).json()
    needing = {path for path, item in document["paths"].items() for one in item.values() if one["security"]}
    assert needing == {path for path in document["paths"] if path.startswith("/api/admin/")}
    refused = await http.get("/api/admin/tenants")
    problem(refused, 403, "insufficient_scope")
    holds(document, "/api/admin/tenants", refused)
