"""The tables. A change here needs a migration; a test holds the two against each other."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    func,
    true,
)

from orchestrator.protocol.context import CONTEXT_TYPES
from orchestrator.protocol.tiers import TIERS
from orchestrator.protocol.turn_policies import ATTEMPTS_MAX, TURN_POLICIES


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return value and value.astimezone(UTC)

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
    Column("turn_policy", String),
    Column("max_attempts", Integer),
    CheckConstraint(_one_of("type", CONTEXT_TYPES), name="type"),
    CheckConstraint(_one_of("turn_policy", TURN_POLICIES), name="turn_policy"),
    CheckConstraint(f"max_attempts BETWEEN 1 AND {ATTEMPTS_MAX}", name="max_attempts"),
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

# What names a tenant below is no foreign key: what was done outlives what it was done to, and without
# access validation a tenant may have tokens and no record.
AUDIT: Final = Table(
    "audit",
    METADATA,
    # Only an INTEGER key counts by itself in SQLite.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("tenant_id", String),
    Column("target", String, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Index(None, "tenant_id"),
    Index(None, "target"),
)

REVOCATIONS: Final = Table(
    "revocations",
    METADATA,
    Column("tenant_id", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("revoked_at", UtcTime, nullable=False),
    Index(None, "revoked_at"),
)

TIER_LIMITS: Final = Table(
    "tier_limits",
    METADATA,
    Column("tier", String, primary_key=True),
    Column("limits", JSON, nullable=False, server_default="{}"),
    CheckConstraint(_one_of("tier", TIERS), name="tier"),
)
"""One row a tier, made by the migration, so that a change can lock what it changes."""
