"""How a context takes its messages in turn, and how often it is tried."""

from alembic import op

revision = "0003"
down_revision = "0002"

_POLICIES = "'parallel', 'queue', 'reject', 'interrupt', 'latest', 'merge', 'steer'"


def upgrade() -> None:
    """Adds the two columns; nothing is set for what is there."""
    # In SQL, since SQLite takes a constraint with a new column and in no other way.
    op.execute(
        "ALTER TABLE contexts ADD COLUMN turn_policy VARCHAR\n"
        f"CONSTRAINT ck_contexts_turn_policy CHECK (turn_policy IN ({_POLICIES}))"
    )
    op.execute(
        "ALTER TABLE contexts ADD COLUMN max_attempts INTEGER\n"
        "CONSTRAINT ck_contexts_max_attempts CHECK (max_attempts BETWEEN 1 AND 100)"
    )
