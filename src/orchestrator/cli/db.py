"""`orchestrator db`: the database's schema."""

import click

from orchestrator.cli.administration import with_store
from orchestrator.cli.examples import example
from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings
from orchestrator.store.errors import SchemaBehind
from orchestrator.store.schema import SchemaState, schema_state
from orchestrator.store.schema import upgrade as upgrade_schema
from orchestrator.store.store import Store


@click.group(epilog=example("orchestrator db status", "orchestrator db upgrade"))
def db() -> None:
    """Bring the schema of DATABASE_URL up to date.

    SQLite is upgraded whenever the service starts; with Postgres this is a step of its own, before
    a new version starts.
    """


@db.command(
    epilog=example("DATABASE_URL=postgresql+psycopg://orchestrator@db/orchestrator orchestrator db upgrade")
)
def upgrade() -> None:
    """Bring the schema up to date, in one transaction. Doing it again changes nothing."""

    async def upgraded(store: Store, _settings: Settings) -> SchemaState:
        return await upgrade_schema(store)

    before = with_store(upgraded)
    click.echo("the schema is current already" if before == "current" else "the schema is now current")


@db.command(epilog=example("orchestrator db status || orchestrator db upgrade"))
def status() -> None:
    """Say how the schema stands: exit code 0 when it is current, 1 when it is not."""

    async def looked_at(store: Store, _settings: Settings) -> tuple[SchemaState, str]:
        return await schema_state(store), store.database.where

    state, where = with_store(looked_at)
    if state in ("empty", "behind"):
        raise SchemaBehind(where, state)
    if state == "ahead":
        raise OrchestratorError(f"the schema of the database at {where} is of a newer Orchestrator")
    click.echo("the schema is current")
