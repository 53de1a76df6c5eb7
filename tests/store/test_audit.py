"""The audit table: who changed what, when, and what it was before."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.store import audit
from orchestrator.store.errors import AlreadyExists, NotFound
from orchestrator.store.store import Store


async def actions(store: Store, tenant_id: str | None = None) -> list[str]:
    """What was done, the oldest first."""
    return [entry.action for entry in await store.audit(tenant_id)][::-1]


async def test_a_change_is_noted_with_both_records(store: Store) -> None:
    """An entry has the plain values of the record before and after, the actor, and the moment in UTC."""
    created = (await store.create_tenant("acme", "free", actor="ann")).record
    await store.update_tenant("acme", tier="advance", limits={"weight": 3}, actor="bob")

    updated, first = await store.audit()
    whole: dict[str, Any] = {"id": "acme", "tier": "free", "active": True, "limits": {}}
    whole["created_at"] = created.created_at.isoformat().replace("+00:00", "Z")
    assert (first.actor, first.action, first.before, first.after) == ("ann", "tenants.create", None, whole)
    assert (updated.actor, updated.action, updated.before) == ("bob", "tenants.update", whole)
    assert updated.after == whole | {"tier": "advance", "limits": {"weight": 3}}
    assert (updated.tenant_id, updated.target) == ("acme", "acme")
    assert updated.at.tzinfo is UTC
    assert abs(datetime.now(UTC) - updated.at) < timedelta(seconds=5)


async def test_nobody_in_particular_is_the_system(store: Store) -> None:
    """A change that no one is named for has an actor all the same."""
    await store.create_tenant("acme", "free")

    assert (await store.audit())[0].actor == "system"


async def test_a_change_that_changes_nothing_is_not_noted(store: Store) -> None:
    """Suspending twice, granting twice, setting what is set: one entry each."""
    for tenant_id in ("acme", "globex"):
        await store.create_tenant(tenant_id, "free")
    await store.create_context("acme", "agent", "1")
    for _ in range(2):
        await store.grant("globex", "agent-1")
        await store.grant("acme", "agent-1")
        await store.update_context("agent-1", active=False)
        await store.update_tenant("acme", tier="advance", limits={"weight": 2, "max_outstanding": None})
        await store.suspend_tenant("acme")
        await store.set_tier_limits("free", {"weight": 3})

    assert (await actions(store))[3:] == [
        "agents.grant", "agents.update", "tenants.update", "tenants.suspend", "limits.set",
    ]  # fmt: skip


async def test_a_change_and_its_entry_are_stored_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the entry cannot be written, the change is not made."""
    await store.create_tenant("acme", "free")

    async def failing(connection: AsyncConnection, *_: object) -> None:
        await connection.execute(text("SELECT active FROM tenants"))
        raise RuntimeError("no entry")

    monkeypatch.setattr(audit, "write_audit", failing)
    with pytest.raises(RuntimeError, match="no entry"):
        await store.suspend_tenant("acme")
    assert (await store.get_tenant("acme")).active


async def test_a_refused_change_is_not_noted(store: Store) -> None:
    """Only what was done is in the table."""
    await store.create_tenant("acme", "free")
    with pytest.raises(AlreadyExists):
        await store.create_tenant("acme", "enterprise")
    with pytest.raises(NotFound):
        await store.revoke("acme", "agent-9")

    assert await actions(store) == ["tenants.create"]


async def test_a_tenant_sees_what_concerns_it(store: Store) -> None:
    """Its own changes, what it was granted, and who was granted what it owns; of others nothing."""
    for tenant_id in ("acme", "globex", "initech"):
        await store.create_tenant(tenant_id, "free")
    await store.create_context("acme", "agent", "1")
    await store.create_context("initech", "agent", "2")
    await store.grant("globex", "agent-1")
    await store.revoke_subject("globex", "bob")
    await store.set_tier_limits("free", {"weight": 2})

    assert await actions(store, "acme") == ["tenants.create", "agents.create", "agents.grant"]
    assert await actions(store, "globex") == ["tenants.create", "agents.grant", "tokens.revoke"]
    assert await actions(store, "nobody") == []


async def test_entries_come_in_pages(store: Store) -> None:
    """`limit` bounds a page, `before` continues behind the last entry of the one before."""
    for number in range(5):
        await store.create_tenant(f"t-{number}", "free")

    newest = await store.audit(limit=2)
    rest = await store.audit(limit=9, before=newest[-1].id)
    assert [entry.target for entry in (*newest, *rest)] == ["t-4", "t-3", "t-2", "t-1", "t-0"]


async def test_an_entry_outlives_what_it_is_about(store: Store) -> None:
    """A tenant that is taken out of the database by hand leaves its history."""
    await store.create_tenant("acme", "free")
    await store.database.write(lambda connection: connection.execute(text("DELETE FROM tenants")))

    assert await actions(store, "acme") == ["tenants.create"]
