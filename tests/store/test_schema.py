"""The schema: made by migrations, equal to the tables, upgraded by whoever may."""

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Inspector, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from orchestrator.store.errors import SchemaAhead, SchemaBehind
from orchestrator.store.schema import ensure_schema, schema_state, upgrade
from orchestrator.store.store import Store
from orchestrator.store.tables import METADATA


def described(inspector: Inspector) -> dict[str, Any]:
    """Everything that the database itself knows about our tables."""
    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table),
            "foreign": inspector.get_foreign_keys(table),
            "checks": sorted(map(str, inspector.get_check_constraints(table))),
            "indexes": inspector.get_indexes(table),
        }
        for table in METADATA.tables
    }


def described_from_tables(connection: Connection) -> dict[str, Any]:
    """The description of a schema that is made by the tables, without any migration."""
    METADATA.drop_all(connection)
    METADATA.create_all(connection)
    return described(inspect(connection))


async def test_migrations_make_what_the_tables_say(store: Store, database_url: str) -> None:
    """A database made by the migrations equals one made by the tables, constraints included."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), METADATA)
        )
        migrated = await connection.run_sync(lambda sync: described(inspect(sync)))
        declared = await connection.run_sync(described_from_tables)
    await engine.dispose()

    assert differences == []
    assert declared == migrated


async def test_state_is_empty_and_then_current(database_url: str) -> None:
    """A new database is empty, an upgraded one current, and upgrading again changes nothing."""
    async with Store(database_url) as store:
        assert await schema_state(store) == "empty"
        assert await upgrade(store) == "empty"
        assert await schema_state(store) == "current"
        assert await upgrade(store) == "current"


async def test_records_live_through_an_upgrade(store: Store, database_url: str) -> None:
    """A database of the first version keeps its records, and can do all that a new one can."""
    await store.create_tenant("acme", "free")
    await store.create_context("acme", "agent", "1")
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        for table in ("audit", "revocations", "tier_limits"):
            await connection.execute(text(f"DROP TABLE {table}"))
        for column in ("turn_policy", "max_attempts"):
            await connection.execute(text(f"ALTER TABLE contexts DROP COLUMN {column}"))
    await engine.dispose()
    await set_revision(database_url, "0001")

    assert await schema_state(store) == "behind"
    assert await upgrade(store) == "behind"
    await store.suspend_tenant("acme")
    await store.set_tier_limits("enterprise", {"weight": 9})
    assert (await store.get_context("agent-1")).turn_policy is None
    await store.update_context("agent-1", turn_policy="queue", max_attempts=100)
    actions = [entry.action for entry in await store.audit()]
    assert actions == ["agents.update", "limits.set", "tenants.suspend"]


async def test_a_newer_schema_is_left_alone(store: Store, database_url: str) -> None:
    """A database of a newer version is `ahead`: a start goes on with it, an upgrade refuses."""
    await set_revision(database_url, "9999")

    assert await schema_state(store) == "ahead"
    assert await ensure_schema(store) == "ahead"
    with pytest.raises(SchemaAhead, match="newer Orchestrator"):
        await upgrade(store)


async def test_replicas_that_start_together_upgrade_once(database_url: str) -> None:
    """Several processes may upgrade at the same time; one does it and all go on."""
    async with Store(database_url) as one, Store(database_url) as two, Store(database_url) as three:
        before = await asyncio.gather(upgrade(one), upgrade(two), upgrade(three))

    assert sorted(before) == ["current", "current", "empty"]


async def test_an_upgrade_that_fails_leaves_nothing_behind(database_url: str) -> None:
    """The upgrade is one transaction: a table in its way undoes the tables before it."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE grants (x int)"))

    async with Store(database_url) as store:
        with pytest.raises(Exception, match="already exists"):
            await upgrade(store)
        assert await schema_state(store) == "empty"

    async with engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == ["grants"]
    await engine.dispose()


async def test_sqlite_is_upgraded_at_start(sqlite_url: str) -> None:
    """A start brings a SQLite file up to date by itself."""
    async with Store(sqlite_url) as store:
        assert await ensure_schema(store) == "current"
        assert await schema_state(store) == "current"


async def test_postgres_behind_names_the_command(postgres_url: str) -> None:
    """A start on a Postgres that is behind ends with the name of the command that mends it."""
    async with Store(postgres_url) as store:
        with pytest.raises(SchemaBehind, match="orchestrator db upgrade"):
            await ensure_schema(store)
        await upgrade(store)
        assert await ensure_schema(store) == "current"


async def set_revision(database_url: str, revision: str) -> None:
    """Marks the database as made by that revision."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    await engine.dispose()
