"""Who changed what, when, and what it was before: written with the change, in its transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.store.records import AuditRecord, Change, RecordT
from orchestrator.store.tables import AUDIT, CONTEXTS

_COLUMNS: Final = AuditRecord.__struct_fields__


async def write_audit(connection: AsyncConnection, actor: str, change: Change[RecordT]) -> None:
    """Notes the change, unless it changed nothing."""
    if change.before == change.record:
        return
    row = {
        "at": datetime.now(UTC),
        "actor": actor,
        "action": change.action,
        "tenant_id": change.tenant_id,
        "target": change.target,
        "before": msgspec.to_builtins(change.before),
        "after": msgspec.to_builtins(change.record),
    }
    await connection.execute(insert(AUDIT).values(row))


async def read_audit(
    connection: AsyncConnection, tenant_id: str | None, limit: int, before: int | None
) -> tuple[AuditRecord, ...]:
    """The newest changes, or those that came before the one of this id."""
    statement = _about(tenant_id).order_by(AUDIT.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AUDIT.c.id < before)
    return _records((await connection.execute(statement)).all())


def _about(tenant_id: str | None) -> Select[Any]:
    """All changes, or those of a tenant, and of what it owns: who else was let use it concerns the owner."""
    if tenant_id is None:
        return select(AUDIT)
    owned = select(CONTEXTS.c.id).where(CONTEXTS.c.tenant_id == tenant_id)
    return select(AUDIT).where(or_(AUDIT.c.tenant_id == tenant_id, AUDIT.c.target.in_(owned)))


def _records(rows: Sequence[Row[Any]]) -> tuple[AuditRecord, ...]:
    return tuple(AuditRecord(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows)
