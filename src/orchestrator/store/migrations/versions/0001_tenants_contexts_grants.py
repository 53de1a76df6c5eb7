"""Tenants, contexts and grants."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the three tables."""
    _tenants()
    _contexts()
    _grants()


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("limits", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.CheckConstraint(
            "tier IN ('free', 'advance', 'professional', 'enterprise')", name=op.f("ck_tenants_tier")
        ),
    )


def _contexts() -> None:
    op.create_table(
        "contexts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contexts")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_contexts_tenant_id")),
        sa.CheckConstraint("type IN ('agent', 'workflow', 'collection')", name=op.f("ck_contexts_type")),
        sa.CheckConstraint(
            "substr(id, 1, length(type) + 1) = type || '-'", name=op.f("ck_contexts_canonical")
        ),
    )
    op.create_index(op.f("ix_contexts_tenant_id"), "contexts", ["tenant_id"])


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("context_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("context_id", "tenant_id", name=op.f("pk_grants")),
        sa.ForeignKeyConstraint(["context_id"], ["contexts.id"], name=op.f("fk_grants_context_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_grants_tenant_id")),
    )
    op.create_index(op.f("ix_grants_tenant_id"), "grants", ["tenant_id"])
