"""The tables. A change here needs a migration; a test holds the two against each other."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    TypeDecorator,
    func,
    true,
)

from orchestrator.protocol.context import CONTEXT_TYPES
from orchestrator.protocol.tiers import TIERS


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


def _one_of(column: str, allowed: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in allowed)})"


METADATA: Final = MetaData(
    # Every constraint has a name, so that a later migration can change it on both engines.
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

TENANTS: Final = Table(
    "tenants",
    METADATA,
    Column("id", String, primary_key=True),
    Column("tier", String, nullable=False),
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("limits", JSON, nullable=False, server_default="{}"),
    Column("created_at", UtcTime, nullable=False, server_default=func.now()),
    CheckConstraint(_one_of("tier", TIERS), name="tier"),
)

CONTEXTS: Final = Table(
    "contexts",
    METADATA,
    Column("id", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("tenant_id", String, ForeignKey("tenants.id"), nullable=False),
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("created_at", UtcTime, nullable=False, server_default=func.now()),
    CheckConstraint(_one_of("type", CONTEXT_TYPES), name="type"),
    # Queues are named by the id: a form that is not canonical would be a second queue of one agent.
    CheckConstraint("substr(id, 1, length(type) + 1) = type || '-'", name="canonical"),
    Index(None, "tenant_id"),
)

GRANTS: Final = Table(
    "grants",
    METADATA,
    Column("context_id", String, ForeignKey("contexts.id"), primary_key=True),
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Index(None, "tenant_id"),
)
