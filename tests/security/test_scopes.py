"""Scopes: which token opens which routes (contract §6)."""

from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Caller, Tenant, problem
from tests.contract.conftest import Connect
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.minting import HS256, bearer
from tests.security.test_contradictions import CHAT
from tests.security.user import User, attend
from tests.servers import OrchestratorServer

FIGURES: Final = ["/metrics", "/metrics/overview", "/metrics/queues", "/ws/stats"]
KINDS: Final = ("agents", "workflows", "collections")
ADMINISTRATION: Final = [
    ("GET", "/api/admin/tenants"),
    ("POST", "/api/admin/tenants"),
    ("GET", "/api/admin/tenants/{tenant}"),
    ("PATCH", "/api/admin/tenants/{tenant}"),
    ("POST", "/api/admin/tenants/{tenant}/suspend"),
    ("POST", "/api/admin/tenants/{tenant}/resume"),
    *((method, f"/api/admin/{kind}") for kind in KINDS for method in ("GET", "POST")),
    *((method, f"/api/admin/{kind}/{{agent}}") for kind in KINDS for method in ("GET", "PATCH")),
    *((method, f"/api/admin/{kind}/{{agent}}/grants/{{tenant}}") for kind in KINDS for method in ("PUT", "DELETE")),
    ("GET", "/api/admin/limits"),
    ("PATCH", "/api/admin/limits/free"),
    ("POST", "/api/admin/tokens/revoke"),
    ("GET", "/api/admin/audit"),
]  # fmt: skip
PUBLIC: Final = [
    "/health", "/health/live", "/health/ready", "/api/chat/health", "/ws/health",
    "/", "/docs", "/openapi.json", "/asyncapi.json",
]  # fmt: skip

administration = pytest.mark.parametrize(
    ("method", "path"), ADMINISTRATION, ids=[f"{method} {path}" for method, path in ADMINISTRATION]
)


def denied(answer: httpx.Response, scope: str) -> None:
    """403 `insufficient_scope`, with the challenge that says which is needed (RFC 6750 §3.1)."""
    problem(answer, 403, "insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert f'scope="{scope}"' in answer.headers["www-authenticate"]


def filled(path: str, tenant: Tenant, session: str = "s") -> str:
    """A path with ids that exist."""
    return path.format(tenant=tenant.id, agent=tenant.agent, session=session)


@pytest.mark.parametrize("path", PUBLIC)
async def test_public_routes(service: OrchestratorServer, http: httpx.AsyncClient, path: str) -> None:
    """Open to everybody; a credential there is not even looked at."""
    for headers in ({}, bearer("x"), {"Authorization": "nonsense"}):
        assert (await http.get(path, headers=headers)).status_code == 200


@pytest.mark.parametrize("path", FIGURES)
async def test_figures_need_a_scope(http: httpx.AsyncClient, tenant: Tenant, path: str) -> None:
    """A user's token is 403; one with `metrics` or `admin` gets them, without any tenant."""
    denied(await http.get(path, headers=bearer(HS256.of(tenant))), "metrics")
    denied(await http.get(path, headers=bearer(HS256.of(tenant, scope="chat"))), "metrics")
    for scope in ("metrics", "admin", "admin metrics", "chat metrics", ["metrics"]):
        answer = await http.get(path, headers=bearer(HS256.mint(sub="ops", scope=scope)))
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("method", "path"), CHAT, ids=[path for _, path in CHAT])
async def test_metrics_open_no_chat(user: User, service: OrchestratorServer, method: str, path: str) -> None:
    """403 on every route of the chat, also for a token that names a tenant."""
    for token in (HS256.mint(sub="ops", scope="metrics"), HS256.of(user.tenant, scope="metrics")):
        headers = {**Caller(user.http, user.tenant, user.session_id).headers, **bearer(token)}
        body: dict[str, Any] = {"json": {"message": "Hello"}} if path.endswith("send") else {}
        answer = await user.http.request(
            method, filled(path, user.tenant, user.session_id), headers=headers, **body
        )
        denied(answer, "chat")


async def test_metrics_open_no_socket(user: User, service: OrchestratorServer) -> None:
    """4403, by the handshake and by the first frame."""
    for token in (HS256.mint(sub="ops", scope="metrics"), HS256.of(user.tenant, scope="metrics")):
        url = socket_url(service, user.session_id, tenant_id=user.tenant.id, tier=user.tenant.tier)
        async with dial(url, additional_headers=bearer(token)) as socket:
            assert (await closing(socket))[0] == 4403
        async with dial(url) as socket:
            await socket.send(f'{{"type":"auth","token":"{token}"}}')
            assert (await closing(socket))[0] == 4403


@administration
async def test_administration_needs_its_scope(
    http: httpx.AsyncClient, tenant: Tenant, method: str, path: str
) -> None:
    """Neither nobody nor a user nor who reads figures may use it; the token is judged before the body."""
    url = filled(path, tenant)
    problem(await http.request(method, url, content=b"{"), 401, "unauthorized")
    for token in (
        HS256.of(tenant),
        HS256.of(tenant, scope="metrics chat"),
        HS256.mint(sub="ops", scope="metrics"),
        HS256.of(tenant, "admin", scope="administrator Admin ADMIN admin, x-admin admin:read"),
        HS256.of(tenant, admin=True, role="admin", roles=["admin"], scopes="admin", scp="admin"),
    ):
        denied(await http.request(method, url, headers=bearer(token), content=b"{"), "admin")


@administration
async def test_headers_administer_nothing(
    header_service: OrchestratorServer, connect: Connect, tenant: Tenant, method: str, path: str
) -> None:
    """In header mode the routes are closed, whatever is stated."""
    caller = Caller(connect(header_service), tenant)
    stated = {**caller.headers, "X-Scope": "admin", **bearer(HS256.mint(sub="ops", scope="admin"))}
    answer = await caller.http.request(method, filled(path, tenant), headers=stated, json={})
    problem(answer, 403, "insufficient_scope")


async def test_an_administrator_may_everything(
    http: httpx.AsyncClient, tenant: Tenant, service: OrchestratorServer
) -> None:
    """`admin` opens figures, administration and, with a tenant, its chat."""
    admin = User(http, tenant, "root", scope="admin")
    for path in (*FIGURES, "/api/admin/tenants", f"/api/admin/tenants/{tenant.id}", "/api/admin/audit"):
        answer = await admin.ask("GET", path)
        assert answer.status_code == 200, answer.text
    accepted = await admin.accepted()
    async with attend(service, admin, accepted["position"]) as socket:
        assert (await socket.event())["task_id"] == accepted["task_id"]


@pytest.mark.parametrize("scope", ["", " ", "openid profile", "read:all", "CHAT", [], ["openid"], None])
async def test_unknown_scopes_are_ignored(http: httpx.AsyncClient, tenant: Tenant, scope: Any) -> None:
    """Where none of the three occurs, `chat` is meant."""
    user = User(http, tenant, scope=scope)
    await user.accepted()
    denied(await user.ask("GET", "/metrics"), "metrics")


@pytest.mark.parametrize(
    "claims", [{"tenant_id": None}, {"tier": None}, {"tenant_id": None, "tier": None}], ids=str
)
async def test_a_scope_replaces_no_tenant(
    http: httpx.AsyncClient, tenant: Tenant, claims: dict[str, Any]
) -> None:
    """`chat metrics` without tenant claims reads figures, and sends for nobody, whatever headers say."""
    user = User(http, tenant, scope="chat metrics", **claims)
    assert (await user.ask("GET", "/metrics")).status_code == 200
    stated = {**Caller(http, tenant).headers, **user.credential, "X-Tenant-Tier": "enterprise"}
    answer = await user.http.post("/api/chat/send", headers=stated, json={"message": "Hello"})
    assert answer.status_code in (401, 403), answer.text
    stated["X-Tenant-Tier"] = tenant.tier
    answer = await user.http.post("/api/chat/send", headers=stated, json={"message": "Hello"})
    assert answer.status_code in (401, 403), answer.text
