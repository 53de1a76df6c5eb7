"""Who changed what; whose tokens are void; limits of tiers that hold without a restart."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the three tables, and the row of each tier."""
    _audit()
    _revocations()
    _tier_limits()


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_tenant_id"), "audit", ["tenant_id"])
    op.create_index(op.f("ix_audit_target"), "audit", ["target"])


def _revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "subject", name=op.f("pk_revocations")),
    )
    op.create_index(op.f("ix_revocations_revoked_at"), "revocations", ["revoked_at"])


def _tier_limits() -> None:
    rows = op.create_table(
        "tier_limits",
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("limits", sa.JSON(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("tier", name=op.f("pk_tier_limits")),
        sa.CheckConstraint(
            "tier IN ('free', 'advance', 'professional', 'enterprise')", name=op.f("ck_tier_limits_tier")
        ),
    )
    tiers = ("free", "advance", "professional", "enterprise")
    op.bulk_insert(rows, [{"tier": tier, "limits": {}} for tier in tiers])
