"""`orchestrator limits`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.broker.tenant import raw_client

from orchestrator.cli.main import main
from orchestrator.embedded import ValkeyServer

Command = Callable[..., Result]


def rows(command: Command, tier: str) -> dict[str, tuple[int, str]]:
    """What holds for a tier, and from where."""
    listed = json.loads(command("limits", "list", "--json").stdout)
    return {row["limit"]: (row["value"], row["source"]) for row in listed if row["tier"] == tier}


def test_defaults_are_listed(without_redis: Command) -> None:
    """Each limit of each tier has a row; a new deployment has the defaults, and reading needs no Redis."""
    shown = without_redis("limits", "list").stdout.splitlines()

    assert shown[0].split() == ["TIER", "LIMIT", "VALUE", "FROM"]
    assert shown[1].split() == ["free", "requests_per_minute", "60", "default"]
    assert shown[-1].split() == ["enterprise", "max_running", "0", "default"]
    assert len(shown) == 1 + 4 * 6


def test_the_nearest_source_holds(environment: dict[str, str], valkey: ValkeyServer) -> None:
    """The store goes before the environment, and the environment before the default, limit by limit."""
    limits = '{"free": {"weight": 3, "max_outstanding": 7}}'
    settings = environment | {"REDIS_URL": valkey.url, "ORCHESTRATOR_TIER_LIMITS": limits}

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=settings)

    changed = run("limits", "set", "free", "--limit", "weight=9", "--limit", "max_connections=5")
    assert [line.split() for line in changed.stdout.splitlines()[1:]] == [
        ["free", "requests_per_minute", "60", "default"],
        ["free", "max_outstanding", "7", "environment"],
        ["free", "max_connections", "5", "store"],
        ["free", "messages_per_second", "5", "default"],
        ["free", "weight", "9", "store"],
        ["free", "max_running", "0", "default"],
    ]
    run("limits", "set", "free", "--limit", "weight=", "--limit", "max_connections=")
    assert rows(run, "free")["weight"] == (3, "environment")
    assert rows(run, "free")["max_connections"] == (20, "default")
    assert rows(run, "advance")["weight"] == (2, "default")


def test_replicas_are_told(orchestrator: Command, valkey: ValkeyServer) -> None:
    """A change is announced, so that it holds without a restart."""
    assert orchestrator("limits", "set", "free", "--limit", "weight=2").exit_code == 0
    with raw_client(valkey.port) as client:
        assert client.zrange("{orchestrator}:changes", 0, -1) == [b"limits"]


def test_a_change_without_redis_is_stored_and_said(without_redis: Command) -> None:
    """While Redis is away the change is made, and the command fails with what that means."""
    result = without_redis("limits", "set", "free", "--limit", "weight=2")

    assert result.exit_code == 1
    assert "changed, but replicas learn of it only when they next read the database" in result.stderr
    assert rows(without_redis, "free")["weight"] == (2, "store")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "gold", "--limit", "weight=2"), "'gold' is not one of"),
        (("set", "free"), "Missing option '--limit'"),
        (("set", "free", "--limit", "speed=2"), "requests_per_minute, max_outstanding"),
        (("set", "free", "--limit", "weight=0"), "weight: 0 is not a whole number from 1 to 2147483647"),
        (("set", "free", "--limit", "weight=2147483648"), "weight: 2147483648 is not a whole number"),
        (("set", "free", "--limit", "weight=٣"), "weight: '٣' is not a whole number"),
    ],
)
def test_wrong_use_ends_with_2(without_redis: Command, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be right is refused before anything is opened, and says what is allowed."""
    result = without_redis("limits", *arguments)

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_service_that_reads_no_database_is_mentioned(
    environment: dict[str, str], valkey: ValkeyServer, tmp_path: Path
) -> None:
    """Where access is not validated a change has no effect, so it is not made in silence."""
    off = {"REDIS_URL": valkey.url, "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false"}
    result = CliRunner().invoke(main, ["limits", "set", "free", "--limit", "weight=2"], env=environment | off)

    assert result.exit_code == 0
    assert "the service does not read the database" in result.stderr
