"""Administering tenants by HTTP: what a command can do, and it holds at once (contract §6)."""

import json
from typing import Any

import pytest
from tests.contract.administrator import Administrator
from tests.contract.client import Tenant, problem, unique
from tests.security.user import User
from tests.servers import OrchestratorServer

TIER_LIMITS = (
    "requests_per_minute", "max_outstanding", "max_connections", "messages_per_second", "weight", "max_running",
)  # fmt: skip


async def user_of(admin: Administrator, tenant_id: str, tier: str = "professional", **claims: Any) -> User:
    """Somebody of the tenant, which has one agent."""
    agent = await admin.context(tenant_id)
    return User(admin.http, Tenant(tenant_id, tier, agent), **claims)


async def test_a_tenant_comes_to_be(admin: Administrator) -> None:
    """201 with the record and where it is; with an agent of its own it can send."""
    tenant_id = unique("tenant")
    answer = await admin.ask("POST", "/tenants", json={"id": tenant_id, "tier": "advance"})
    assert answer.status_code == 201, answer.text
    record = answer.json()
    assert answer.headers["location"] == f"/api/admin/tenants/{tenant_id}"
    assert record | {"created_at": ""} == {
        "id": tenant_id,
        "tier": "advance",
        "active": True,
        "limits": {},
        "created_at": "",
    }
    assert await admin.done("GET", f"/tenants/{tenant_id}") == record
    await (await user_of(admin, tenant_id, "advance")).accepted()


async def test_a_tenant_that_exists(admin: Administrator) -> None:
    """409 `already_exists`; the one that is there stays as it is."""
    tenant_id = await admin.tenant("free")
    again = await admin.ask("POST", "/tenants", json={"id": tenant_id, "tier": "enterprise"})
    assert tenant_id in problem(again, 409, "already_exists")["detail"]
    assert (await admin.done("GET", f"/tenants/{tenant_id}"))["tier"] == "free"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PATCH", ""), ("POST", "/suspend"), ("POST", "/resume")]
)
async def test_an_unknown_tenant(admin: Administrator, method: str, path: str) -> None:
    """404 `not_found`, and none comes to be by it."""
    body = {"json": {"tier": "free"}} if method == "PATCH" else {}
    tenant = f"/tenants/{unique('nobody')}"
    problem(await admin.ask(method, tenant + path, **body), 404, "not_found")
    problem(await admin.ask("GET", tenant), 404, "not_found")


async def test_another_tier(admin: Administrator) -> None:
    """A token with the old tier is refused at once, though the answer was cached; one with the new is good."""
    tenant_id = await admin.tenant("free")
    user = await user_of(admin, tenant_id, "free")
    await user.accepted()
    assert (await admin.done("PATCH", f"/tenants/{tenant_id}", {"tier": "enterprise"}))[
        "tier"
    ] == "enterprise"
    problem(await user.send(), 403, "tier_mismatch")
    await User(admin.http, user.tenant._replace(tier="enterprise")).accepted()


async def test_limits_of_its_own(admin: Administrator) -> None:
    """Given with the tenant, changed one by one, and null takes one back; the next send counts by them."""
    tenant_id = await admin.tenant(limits={"requests_per_minute": 77, "weight": 3, "max_outstanding": None})
    tenant = f"/tenants/{tenant_id}"
    assert (await admin.done("GET", tenant))["limits"] == {"requests_per_minute": 77, "weight": 3}
    user = await user_of(admin, tenant_id)
    assert "q=77;w=60" in (await user.send()).headers["ratelimit-policy"]
    changed = await admin.done(
        "PATCH", tenant, {"limits": {"requests_per_minute": None, "max_outstanding": 1}}
    )
    assert changed["limits"] == {"weight": 3, "max_outstanding": 1}
    answer = await user.send()
    problem(answer, 429, "queue_full")
    assert "q=1200;w=60" in answer.headers["ratelimit-policy"]


async def test_each_limit_can_be_set(admin: Administrator) -> None:
    """All that a tier has."""
    limits = dict.fromkeys(TIER_LIMITS, 9)
    tenant_id = await admin.tenant(limits=limits)
    assert (await admin.done("GET", f"/tenants/{tenant_id}"))["limits"] == limits


async def test_suspended_and_resumed(admin: Administrator) -> None:
    """Nobody gets in any more and open tasks end; a second time there is nothing left to end. Resuming lets in."""
    tenant_id = await admin.tenant()
    user = await user_of(admin, tenant_id)
    task = (await user.accepted())["task_id"]
    suspended = await admin.done("POST", f"/tenants/{tenant_id}/suspend")
    assert (suspended["active"], suspended["tasks_ended"]) == (False, 1)
    problem(await user.send(), 403, "access_denied")
    assert (await admin.done("POST", f"/tenants/{tenant_id}/suspend"))["tasks_ended"] == 0
    resumed = await admin.done("POST", f"/tenants/{tenant_id}/resume")
    assert resumed == await admin.done("GET", f"/tenants/{tenant_id}")
    assert resumed["active"] is True
    await user.accepted()
    ledger = await user.ledger(task)
    assert (ledger["status"], ledger["code"]) == ("cancelled", "suspended")


async def test_pages(admin: Administrator) -> None:
    """In order of id; `next` leads to the page behind, and is null on the last one."""
    prefix = unique("page")
    expected = [f"{prefix}-{letter}" for letter in "abcde"]
    for tenant_id in reversed(expected):
        await admin.done("POST", "/tenants", {"id": tenant_id, "tier": "free"}, 201)
    found: list[str] = []
    after: str | None = prefix
    while after is not None and after.startswith(prefix):
        page = await admin.done("GET", f"/tenants?limit=2&after={after}")
        assert len(page["tenants"]) == 2 or page["next"] is None
        found += [record["id"] for record in page["tenants"]]
        after = page["next"]
    assert [tenant_id for tenant_id in found if tenant_id.startswith(prefix)] == expected
    last = await admin.done("GET", f"/tenants?limit=1000&after={expected[-1]}")
    assert last["next"] is None


async def test_both_ways_are_one(
    admin: Administrator, orchestrator: Any, token_service: OrchestratorServer
) -> None:
    """What a command created is changed by HTTP, and what the command shows is what HTTP answers."""
    tenant_id = unique("tenant")
    await orchestrator("tenants", "create", tenant_id, "--tier", "free")
    await admin.done("PATCH", f"/tenants/{tenant_id}", {"tier": "advance", "limits": {"weight": 5}})
    shown = (await orchestrator("tenants", "show", tenant_id, "--json")).stdout
    assert (await admin.ask("GET", f"/tenants/{tenant_id}")).json() == json.loads(shown)
