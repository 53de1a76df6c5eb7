"""The checks of the database, on SQLite and Postgres."""

import sqlite3
from pathlib import Path

import pytest
from tests.diagnosis.conftest import Run, codes, looked
from tests.environment import read
from tests.postgres import PostgresServer
from tests.servers import free_port

from orchestrator.diagnosis import database
from orchestrator.settings import Settings
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store


def at(url: str) -> Settings:
    """Settings that name this database, and a Redis that is not there."""
    return read(DATABASE_URL=url, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a SQLite file may be."""
    return tmp_path / "orchestrator.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, file: Path) -> str:
    """An empty database of each kind."""
    if request.param == "postgres":
        found: str = request.getfixturevalue("postgres_url")
        return found
    sqlite3.connect(file).close()
    file.touch()
    return f"sqlite+aiosqlite:///{file}"


async def test_healthy(url: str) -> None:
    """A database of the current schema, with a tenant and an agent, has no fault."""
    async with Store(url) as store:
        await upgrade(store)
        await store.create_tenant("acme", "free")
        await store.create_context("acme", "agent", "1")
    for check in (database.reach, database.schema, database.records):
        assert codes(await looked(check, at(url))) == [""]


async def test_nobody_is_there_yet(url: str) -> None:
    """Without a tenant, and without an agent, every send would be refused: a warning that says so."""
    async with Store(url) as store:
        await upgrade(store)
        assert codes(await looked(database.records, at(url))) == ["no_tenants"]
        await store.create_tenant("acme", "free")
        assert codes(await looked(database.records, at(url))) == ["no_agents"]


async def test_schema_that_is_empty(url: str) -> None:
    """A database that was never upgraded is behind, and is left as it was."""
    for _ in range(2):
        (finding,) = await looked(database.schema, at(url))
        assert (finding.code, "empty" in finding.what) == ("schema_behind", True)


@pytest.mark.parametrize(
    ("revision", "code"), [("0001", "schema_behind"), ("9999", "schema_ahead")], ids=["older", "newer"]
)
async def test_schema_of_another_version(file: Path, revision: str, code: str) -> None:
    """The schema of an earlier version is a fault, that of a later one a warning."""
    async with Store(f"sqlite+aiosqlite:///{file}") as store:
        await upgrade(store)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
    assert codes(await looked(database.schema, at(f"sqlite+aiosqlite:///{file}"))) == [code]


def is_there(file: Path) -> bool:
    """Whether somebody made it."""
    return file.exists()


async def test_no_file(file: Path) -> None:
    """A SQLite file that is not there is not made."""
    assert codes(await looked(database.reach, at(f"sqlite+aiosqlite:///{file}"))) == ["database_missing"]
    assert not is_there(file)


async def test_no_server(postgres: PostgresServer) -> None:
    """A Postgres that is not there: where, and no password."""
    url = f"postgresql+psycopg://u:hunter2@127.0.0.1:{free_port()}/x"
    (finding,) = await looked(database.reach, at(url))
    assert finding.code == "database_unreachable"
    assert "127.0.0.1" in finding.what
    assert "hunter2" not in finding.what


@pytest.mark.parametrize("check", [database.reach, database.schema, database.records])
async def test_nobody_asks_it(check: Run) -> None:
    """With access validation off there needs to be none."""
    assert codes(await looked(check, read(ENABLE_ACCESS_VALIDATION="false"))) == [""]
