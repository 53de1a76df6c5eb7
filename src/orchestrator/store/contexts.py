"""Agents, workflows and collections, and who may use them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.protocol.context import ContextType, canonical_id
from orchestrator.store.errors import AlreadyExists, NotFound
from orchestrator.store.pages import page
from orchestrator.store.records import Change, ContextRecord, ContextRules
from orchestrator.store.tables import CONTEXTS, GRANTS
from orchestrator.store.tenants import get_tenant


async def create_context(
    connection: AsyncConnection,
    tenant_id: str,
    context_type: ContextType,
    name: str,
    rules: ContextRules,
) -> Change[ContextRecord]:
    """A new context under its canonical id; `NotFound` for the tenant, `AlreadyExists` for the id."""
    await get_tenant(connection, tenant_id)
    context_id = canonical_id(context_type, name)
    row = {
        "id": context_id,
        "type": context_type,
        "tenant_id": tenant_id,
        "turn_policy": rules.turn_policy,
        "max_attempts": rules.max_attempts,
    }
    try:
        await connection.execute(insert(CONTEXTS).values(row))
    except IntegrityError:
        raise AlreadyExists(f"{context_type} {context_id}") from None
    return _change("create", None, await get_context(connection, context_id))


async def get_context(connection: AsyncConnection, context_id: str, *, lock: bool = False) -> ContextRecord:
    """The record, or `NotFound`; with `lock` it stays as it is until the transaction ends."""
    statement = select(CONTEXTS).where(CONTEXTS.c.id == context_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise NotFound(f"{context_id.split('-', 1)[0]} {context_id}")
    return _record(row, await _granted(connection, statement))


async def list_contexts(
    connection: AsyncConnection,
    tenant_id: str | None,
    context_type: ContextType | None,
    after: str | None,
    limit: int,
) -> tuple[ContextRecord, ...]:
    """Of those that the tenant owns or may use, or of all, so many behind an id, in order of id."""
    statement = page(_listing(tenant_id, context_type), CONTEXTS.c.id, connection, after, limit)
    rows = (await connection.execute(statement)).all()
    granted = await _granted(connection, statement)
    return tuple(_record(row, granted) for row in rows)


async def update_context(
    connection: AsyncConnection, context_id: str, changes: Mapping[str, Any]
) -> Change[ContextRecord]:
    """Sets the columns that are given, of `active`, `turn_policy` and `max_attempts`."""
    before = await get_context(connection, context_id, lock=True)
    if changes:
        await connection.execute(update(CONTEXTS).where(CONTEXTS.c.id == context_id).values(**changes))
    return _change("update", before, await get_context(connection, context_id))


async def grant(connection: AsyncConnection, tenant_id: str, context_id: str) -> Change[ContextRecord]:
    """Lets the tenant use the context; granting twice, or to the owner, changes nothing."""
    await get_tenant(connection, tenant_id)
    # The lock makes two grants of one context wait for each other instead of colliding.
    before = await get_context(connection, context_id, lock=True)
    if tenant_id != before.tenant_id and tenant_id not in before.granted_to:
        await connection.execute(insert(GRANTS).values(context_id=context_id, tenant_id=tenant_id))
    return _change("grant", before, await get_context(connection, context_id), tenant_id)


async def revoke(connection: AsyncConnection, tenant_id: str, context_id: str) -> Change[ContextRecord]:
    """Takes the grant back; `NotFound` if there is none."""
    before = await get_context(connection, context_id, lock=True)
    if tenant_id not in before.granted_to:
        raise NotFound(f"grant of {context_id} to {tenant_id}")
    await connection.execute(
        delete(GRANTS).where(GRANTS.c.context_id == context_id, GRANTS.c.tenant_id == tenant_id)
    )
    return _change("revoke", before, await get_context(connection, context_id), tenant_id)


def _listing(tenant_id: str | None, context_type: ContextType | None) -> Select[Any]:
    statement = select(CONTEXTS)
    if context_type is not None:
        statement = statement.where(CONTEXTS.c.type == context_type)
    if tenant_id is not None:
        granted = exists().where(GRANTS.c.context_id == CONTEXTS.c.id, GRANTS.c.tenant_id == tenant_id)
        statement = statement.where(or_(CONTEXTS.c.tenant_id == tenant_id, granted))
    return statement


async def _granted(connection: AsyncConnection, contexts: Select[Any]) -> dict[str, list[str]]:
    # A subquery, since neither engine takes a list of more than some ten thousand ids.
    chosen = GRANTS.c.context_id.in_(contexts.with_only_columns(CONTEXTS.c.id))
    granted = defaultdict[str, list[str]](list)
    for row in await connection.execute(select(GRANTS).where(chosen).order_by(GRANTS.c.tenant_id)):
        granted[row.context_id].append(row.tenant_id)
    return granted


def _change(
    verb: str, before: ContextRecord | None, after: ContextRecord, tenant_id: str | None = None
) -> Change[ContextRecord]:
    """A change that is about the owner, unless it names another tenant."""
    was_granted_to = before.granted_to if before else ()
    return Change(
        record=after,
        before=before,
        action=f"{after.type}s.{verb}",
        tenant_id=tenant_id or after.tenant_id,
        target=after.id,
        affected=frozenset((after.tenant_id, *was_granted_to, *after.granted_to)),
    )


def _record(row: Row[Any], granted: dict[str, list[str]]) -> ContextRecord:
    return ContextRecord(
        id=row.id,
        type=row.type,
        tenant_id=row.tenant_id,
        active=row.active,
        granted_to=tuple(granted.get(row.id, ())),
        created_at=row.created_at,
        turn_policy=row.turn_policy,
        max_attempts=row.max_attempts,
    )
