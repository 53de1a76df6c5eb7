"""Limits of tiers, revocation and the audit by HTTP (contract §6, §7)."""

import json
import time
from pathlib import Path

import pytest
from tests.contract.administrator import Administrator
from tests.contract.client import Tenant, problem, unique
from tests.contract.conftest import Command, Connect, StartService
from tests.security.minting import SECRET
from tests.security.user import User
from tests.servers import wait_until

PROFESSIONAL = {
    "requests_per_minute": 1200,
    "max_outstanding": 500,
    "max_connections": 500,
    "messages_per_second": 20,
    "weight": 4,
    "max_running": 0,
}


@pytest.fixture
def alone(start_service: StartService, connect: Connect, tmp_path: Path) -> Administrator:
    """An administrator whose server has a database of its own, since a tier's limits are everybody's."""
    database = f"sqlite+aiosqlite:///{tmp_path}/own.db"
    limits = '{"professional": {"max_connections": 77}}'
    return Administrator(connect(start_service(jwt_secret=SECRET, database_url=database, tier_limits=limits)))


async def test_the_limits_of_the_tiers(alone: Administrator) -> None:
    """All four, with the environment's over the defaults; nothing is changed until somebody does."""
    rows = (await alone.done("GET", "/limits"))["tiers"]
    assert [row["tier"] for row in rows] == ["free", "advance", "professional", "enterprise"]
    assert [row["changed"] for row in rows] == [{}, {}, {}, {}]
    assert rows[2]["limits"] == PROFESSIONAL | {"max_connections": 77}


async def test_a_limit_changes_without_a_restart(alone: Administrator) -> None:
    """It goes before the environment's, the service counts by it, a tenant's own goes before it; null goes back."""
    tenant_id = await alone.tenant()
    user = User(alone.http, Tenant(tenant_id, "professional", await alone.context(tenant_id)))
    changes = {"requests_per_minute": 333, "max_connections": 5}
    row = await alone.done("PATCH", "/limits/professional", {"limits": changes})
    assert row == {"tier": "professional", "limits": PROFESSIONAL | changes, "changed": changes}
    assert (await alone.done("GET", "/limits"))["tiers"][2] == row

    async def counts_by(quota: int) -> bool:
        return f"q={quota};w=60" in (await user.send()).headers["ratelimit-policy"]

    await wait_until(lambda: counts_by(333))
    await alone.done("PATCH", f"/tenants/{tenant_id}", {"limits": {"requests_per_minute": 44}})
    assert await counts_by(44)
    await alone.done("PATCH", f"/tenants/{tenant_id}", {"limits": {"requests_per_minute": None}})
    back = await alone.done("PATCH", "/limits/professional", {"limits": dict.fromkeys(changes)})
    assert back == {"tier": "professional", "limits": PROFESSIONAL | {"max_connections": 77}, "changed": {}}
    await wait_until(lambda: counts_by(1200))


async def test_a_tier_that_is_none(admin: Administrator) -> None:
    """400 `invalid_tier`, with those that there are."""
    answer = await admin.ask("PATCH", "/limits/gold", json={"limits": {"weight": 1}})
    assert problem(answer, 400, "invalid_tier")["allowed"] == [
        "free",
        "advance",
        "professional",
        "enterprise",
    ]


async def test_a_subject_is_revoked(admin: Administrator) -> None:
    """Its tokens are refused within a second, those of others of the tenant are not; naming it twice does no harm."""
    tenant_id = await admin.tenant()
    tenant = Tenant(tenant_id, "professional", await admin.context(tenant_id))
    eve, ada = (User(admin.http, tenant, name, iat=int(time.time()) - 5) for name in ("eve", "ada"))
    await eve.accepted()
    answers = [
        await admin.done("POST", "/tokens/revoke", {"tenant_id": tenant_id, "sub": "eve"}) for _ in range(2)
    ]
    assert answers[0] | {"revoked_at": ""} == {"tenant_id": tenant_id, "sub": "eve", "revoked_at": ""}
    assert answers[0]["revoked_at"] <= answers[1]["revoked_at"]

    async def refused() -> bool:
        return (await eve.send()).status_code == 401

    await wait_until(refused)
    problem(await eve.get("/api/chat/stats"), 401, "unauthorized")
    await ada.accepted()


async def test_an_administrator_is_revoked(admin: Administrator) -> None:
    """A token that names no tenant is named by null: it opens nothing any more, another administrator's does."""
    other = Administrator(admin.http)
    await other.done("GET", "/tenants?limit=1")
    revoked = await admin.done("POST", "/tokens/revoke", {"tenant_id": None, "sub": other.name})
    assert revoked["tenant_id"] is None

    async def refused() -> bool:
        return (await other.ask("GET", "/tenants?limit=1")).status_code == 401

    await wait_until(refused)
    (entry,) = await admin.changes()
    assert (entry["action"], entry["tenant_id"], entry["target"]) == ("tokens.revoke", None, other.name)


async def test_who_did_what(admin: Administrator) -> None:
    """Each change is one entry under the token's user, the newest first, with the record before and after."""
    began = time.time()
    tenant_id = await admin.tenant("free")
    tenant = f"/tenants/{tenant_id}"
    created = await admin.done("GET", tenant)
    changed = await admin.done("PATCH", tenant, {"tier": "advance"})
    suspended = await admin.done("POST", f"{tenant}/suspend")
    del suspended["tasks_ended"]
    entries = await admin.changes()
    assert [(entry["action"], entry["target"], entry["before"], entry["after"]) for entry in entries] == [
        ("tenants.suspend", tenant_id, changed, suspended),
        ("tenants.update", tenant_id, created, changed),
        ("tenants.create", tenant_id, None, created),
    ]
    assert {entry["tenant_id"] for entry in entries} == {tenant_id}
    assert sorted((entry["id"] for entry in entries), reverse=True) == [entry["id"] for entry in entries]
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began)) <= entries[-1]["at"] <= entries[0]["at"]


async def test_what_changed_nothing_is_no_entry(admin: Administrator) -> None:
    """Neither is what was refused, nor what was only read."""
    tenant_id = await admin.tenant("free")
    tenant, had = f"/tenants/{tenant_id}", await admin.changes()
    await admin.done("PATCH", tenant, {"tier": "free", "limits": {}})
    await admin.done("POST", f"{tenant}/resume")
    await admin.ask("POST", "/tenants", json={"id": tenant_id, "tier": "enterprise"})
    await admin.ask("PATCH", tenant, json={"tier": "gold"})
    await admin.ask("POST", f"/tenants/{unique('nobody')}/suspend")
    await admin.done("GET", "/audit")
    assert await admin.changes() == had


async def test_pages_of_the_audit(admin: Administrator) -> None:
    """The newest first; `next` leads to what is older, and is null at the end. A tenant's has what is about it."""
    tenant_id = await admin.tenant()
    agent = await admin.context(tenant_id)
    friend = await admin.tenant()
    await admin.done("PUT", f"/agents/{agent}/grants/{friend}")
    path = f"/audit?tenant_id={tenant_id}&limit=2"
    page = await admin.done("GET", path)
    found = [entry["action"] for entry in page["entries"]]
    while page["next"] is not None and len(found) < 10:
        assert len(page["entries"]) == 2
        page = await admin.done("GET", f"{path}&before={page['next']}")
        found += [entry["action"] for entry in page["entries"]]
    assert found == ["agents.grant", "agents.create", "tenants.create"]


async def test_commands_and_routes_share_the_audit(admin: Administrator, orchestrator: Command) -> None:
    """A command's changes are under `cli:` and its user; `orchestrator audit` shows those by HTTP."""
    tenant_id = unique("tenant")
    await orchestrator("tenants", "create", tenant_id, "--tier", "free")
    await admin.done("POST", f"/tenants/{tenant_id}/suspend")
    entries = (await admin.done("GET", f"/audit?tenant_id={tenant_id}"))["entries"]
    assert entries[0]["actor"] == f"token:{admin.name}"
    assert entries[1]["actor"].startswith("cli:")
    shown = json.loads((await orchestrator("audit", "--tenant", tenant_id, "--json")).stdout)
    assert shown == entries
