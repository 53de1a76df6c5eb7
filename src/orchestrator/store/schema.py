"""Whether the database's schema is this program's, and making it so."""

from pathlib import Path
from typing import Final, Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from orchestrator.store.errors import SchemaAhead, SchemaBehind
from orchestrator.store.store import Store

SchemaState = Literal["empty", "behind", "current", "ahead"]

# Any number, as long as nothing else in the same Postgres takes an advisory lock by it.
_UPGRADE_LOCK: Final = 7_203_115_942


async def schema_state(store: Store) -> SchemaState:
    """How the database stands to this program; `ahead` is the work of a newer one."""
    return await store.database.read(lambda connection: connection.run_sync(_state))


async def upgrade(store: Store) -> SchemaState:
    """Brings the schema up to date in one transaction and returns what it was before.

    Processes that do this at once wait for each other; `SchemaAhead` if a newer one was here.
    """
    before = await store.database.write(lambda connection: connection.run_sync(_upgrade), seconds=None)
    if before == "ahead":
        raise SchemaAhead(store.database.where)
    return before


async def ensure_schema(store: Store) -> SchemaState:
    """What a start needs: SQLite is upgraded, a Postgres that is behind raises `SchemaBehind`.

    `ahead` is let pass, so that replicas of the last version live through a rolling upgrade.
    """
    state = await schema_state(store)
    if state in ("current", "ahead"):
        return state
    if store.database.engine == "postgresql":
        raise SchemaBehind(store.database.where, state)
    await upgrade(store)
    return "current"


def _state(connection: Connection) -> SchemaState:
    script = ScriptDirectory.from_config(_config())
    applied = MigrationContext.configure(connection).get_current_heads()
    if not applied:
        return "empty"
    if set(applied) == set(script.get_heads()):
        return "current"
    known = {revision.revision for revision in script.walk_revisions()}
    return "behind" if known.issuperset(applied) else "ahead"


def _upgrade(connection: Connection) -> SchemaState:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
    before = _state(connection)
    if before in ("empty", "behind"):
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before


def _config() -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config
