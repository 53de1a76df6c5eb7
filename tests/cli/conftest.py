"""The commands as a person or a script calls them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import main
from orchestrator.embedded import ValkeyServer

Command = Callable[..., Result]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings that name a SQLite file of this test and a Redis that is not there."""
    return {
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}",
        "REDIS_URL": f"unix://{tmp_path / 'nobody.sock'}",
    }


@pytest.fixture
def without_redis(environment: dict[str, str]) -> Command:
    """`without_redis("tenants", "list")` runs that command while Redis is away."""
    return lambda *arguments: CliRunner().invoke(main, arguments, env=environment)


@pytest.fixture
def orchestrator(environment: dict[str, str], valkey: ValkeyServer) -> Command:
    """`orchestrator("tenants", "list")` runs that command with a Redis that is there."""
    with_redis = environment | {"REDIS_URL": valkey.url}
    return lambda *arguments: CliRunner().invoke(main, arguments, env=with_redis)
