"""Tenants in the store."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.store.errors import AlreadyExists, NotFound
from orchestrator.store.pages import every, page
from orchestrator.store.store import Store
from orchestrator.store.tables import TENANTS


async def test_a_new_tenant_is_active(store: Store) -> None:
    """Creating answers with the record and names the tenant as the one that is affected."""
    change = await store.create_tenant("acme", "free")

    assert change.affected == {"acme"}
    assert (change.record.id, change.record.tier, change.record.active) == ("acme", "free", True)
    assert change.record == await store.get_tenant("acme")


async def test_times_are_utc(store: Store) -> None:
    """The moment of creation is now, in UTC, on both engines."""
    record = (await store.create_tenant("acme", "free")).record

    assert record.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - record.created_at) < timedelta(seconds=5)


async def test_an_id_is_taken_once(store: Store) -> None:
    """A second tenant of the same id is refused by name and leaves the first as it was."""
    await store.create_tenant("acme", "free")

    with pytest.raises(AlreadyExists, match="tenant acme exists already"):
        await store.create_tenant("acme", "enterprise")
    assert (await store.get_tenant("acme")).tier == "free"


async def test_update_sets_only_what_is_given(store: Store) -> None:
    """Tier and limits change independently, limits one by one; None removes one."""
    await store.create_tenant("acme", "free", {"max_outstanding": 5, "weight": 3})

    assert (await store.update_tenant("acme", tier="advance")).record.limits == {
        "max_outstanding": 5,
        "weight": 3,
    }
    changed = await store.update_tenant("acme", limits={"weight": None, "max_connections": 9})
    assert changed.record.tier == "advance"
    assert changed.record.limits == {"max_outstanding": 5, "max_connections": 9}
    assert changed.affected == {"acme"}


async def test_suspend_and_resume(store: Store) -> None:
    """A suspended tenant stays on record."""
    await store.create_tenant("acme", "free")

    assert (await store.suspend_tenant("acme")).record.active is False
    assert (await store.resume_tenant("acme")).record.active is True


async def test_the_list_is_in_order(store: Store) -> None:
    """Every tenant is listed, by id."""
    for tenant_id in ("globex", "acme", "initech"):
        await store.create_tenant(tenant_id, "free")

    assert [tenant.id for tenant in await store.list_tenants()] == ["acme", "globex", "initech"]


async def test_a_page_of_the_list(store: Store) -> None:
    """So many behind an id, in the order of bytes, whatever the database's locale; page by page that is all."""
    ids = sorted(["B", "_b", "a", "C-1", "C.1", "C1", "b"])
    for tenant_id in reversed(ids):
        await store.create_tenant(tenant_id, "free")

    assert [tenant.id for tenant in await store.list_tenants(limit=3)] == ids[:3]
    assert [tenant.id for tenant in await store.list_tenants(after=ids[2], limit=3)] == ids[3:6]
    assert [tenant.id for tenant in await store.list_tenants(after="C-0")] == ids[ids.index("C-1") :]
    assert await store.list_tenants(after=ids[-1]) == ()
    assert [
        tenant.id for tenant in await every(lambda after: store.list_tenants(after=after, limit=2))
    ] == ids


async def test_a_page_where_the_locale_sorts_otherwise(postgres_url: str) -> None:
    """Postgres is asked for the order of bytes, in what is behind and in what comes first."""

    async def asked(connection: AsyncConnection) -> str:
        return str(
            page(select(TENANTS), TENANTS.c.id, connection, "a", 2).compile(dialect=connection.dialect)
        )

    # By its text: a Postgres without ICU has no locale that sorts in another way.
    async with Store(postgres_url) as store:
        statement = await store.database.read(asked)
    assert 'WHERE (tenants.id COLLATE "C") >' in statement
    assert 'ORDER BY tenants.id COLLATE "C"' in statement


async def test_an_unknown_tenant_is_named(store: Store) -> None:
    """Reading, changing and suspending what does not exist says what is missing."""
    for question in (
        store.get_tenant("nobody"),
        store.update_tenant("nobody", tier="free"),
        store.suspend_tenant("nobody"),
        store.resume_tenant("nobody"),
    ):
        with pytest.raises(NotFound, match="There is no tenant nobody"):
            await question
