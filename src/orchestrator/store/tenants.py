"""Tenants: one function per statement that the store makes about them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.protocol.tiers import Tier
from orchestrator.store.errors import AlreadyExists, NotFound
from orchestrator.store.pages import page
from orchestrator.store.records import Change, TenantRecord
from orchestrator.store.tables import TENANTS


async def create_tenant(
    connection: AsyncConnection, tenant_id: str, tier: Tier, limits: Mapping[str, int]
) -> Change[TenantRecord]:
    """A new tenant, or `AlreadyExists`."""
    row = {"id": tenant_id, "tier": tier, "limits": dict(limits)}
    try:
        await connection.execute(insert(TENANTS).values(row))
    except IntegrityError:
        raise AlreadyExists(f"tenant {tenant_id}") from None
    return _change("create", None, await get_tenant(connection, tenant_id))


async def get_tenant(connection: AsyncConnection, tenant_id: str, *, lock: bool = False) -> TenantRecord:
    """The record, or `NotFound`; with `lock` it stays as it is until the transaction ends."""
    statement = select(TENANTS).where(TENANTS.c.id == tenant_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise NotFound(f"tenant {tenant_id}")
    return _record(row)


async def list_tenants(
    connection: AsyncConnection, after: str | None, limit: int
) -> tuple[TenantRecord, ...]:
    """So many of them behind an id, in order of id."""
    rows = await connection.execute(page(select(TENANTS), TENANTS.c.id, connection, after, limit))
    return tuple(_record(row) for row in rows)


async def update_tenant(
    connection: AsyncConnection, tenant_id: str, tier: Tier | None, limits: Mapping[str, int | None]
) -> Change[TenantRecord]:
    """Sets what is given; a limit of None falls back to the tier's."""
    before = await get_tenant(connection, tenant_id, lock=True)
    merged = {**before.limits, **limits}
    kept = {name: value for name, value in merged.items() if value is not None}
    return await _set(connection, "update", before, tier=tier or before.tier, limits=kept)


async def set_tenant_active(
    connection: AsyncConnection, tenant_id: str, *, active: bool
) -> Change[TenantRecord]:
    """Suspends it or lets it go on."""
    before = await get_tenant(connection, tenant_id, lock=True)
    return await _set(connection, "resume" if active else "suspend", before, active=active)


async def _set(
    connection: AsyncConnection, verb: str, before: TenantRecord, **columns: Any
) -> Change[TenantRecord]:
    await connection.execute(update(TENANTS).where(TENANTS.c.id == before.id).values(columns))
    return _change(verb, before, await get_tenant(connection, before.id))


def _change(verb: str, before: TenantRecord | None, after: TenantRecord) -> Change[TenantRecord]:
    return Change(
        record=after,
        before=before,
        action=f"tenants.{verb}",
        tenant_id=after.id,
        target=after.id,
        affected=frozenset((after.id,)),
    )


def _record(row: Row[Any]) -> TenantRecord:
    return TenantRecord(
        id=row.id, tier=row.tier, active=row.active, limits=row.limits, created_at=row.created_at
    )
