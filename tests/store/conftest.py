"""A store on each engine: every test that asks for `store` runs on SQLite and on Postgres."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store


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
