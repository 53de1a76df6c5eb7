"""Whose tokens are void, and up to which moment they were issued."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.store.records import Change, RevocationRecord
from orchestrator.store.tables import REVOCATIONS

_KEY: Final = ("tenant_id", "subject")


async def revoke_subject(
    connection: AsyncConnection, tenant_id: str, subject: str
) -> Change[RevocationRecord]:
    """Voids what was issued until now; it never takes back what was void already."""
    before = await _find(connection, tenant_id, subject)
    now = datetime.now(UTC)
    at = max(now, before.revoked_at) if before else now
    row = {"tenant_id": tenant_id, "subject": subject, "revoked_at": at}
    await connection.execute(_put(connection, row))
    return Change(
        record=RevocationRecord(tenant_id=tenant_id, subject=subject, revoked_at=at),
        before=before,
        action="tokens.revoke",
        tenant_id=tenant_id or None,
        target=subject,
    )


async def list_revocations(connection: AsyncConnection, since: datetime) -> tuple[RevocationRecord, ...]:
    """Those of `since` or later, the oldest first."""
    statement = select(REVOCATIONS).where(REVOCATIONS.c.revoked_at >= since)
    rows = await connection.execute(statement.order_by(REVOCATIONS.c.revoked_at))
    return tuple(_record(row) for row in rows)


async def _find(connection: AsyncConnection, tenant_id: str, subject: str) -> RevocationRecord | None:
    statement = select(REVOCATIONS).where(
        REVOCATIONS.c.tenant_id == tenant_id, REVOCATIONS.c.subject == subject
    )
    row = (await connection.execute(statement.with_for_update())).one_or_none()
    return _record(row) if row else None


def _put(connection: AsyncConnection, row: dict[str, Any]) -> Any:
    """An insert that becomes an update; both engines can, each by a construct of its own."""
    engine = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = engine.insert(REVOCATIONS).values(row)
    return statement.on_conflict_do_update(index_elements=_KEY, set_={"revoked_at": row["revoked_at"]})


def _record(row: Row[Any]) -> RevocationRecord:
    return RevocationRecord(tenant_id=row.tenant_id, subject=row.subject, revoked_at=row.revoked_at)
