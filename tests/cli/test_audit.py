"""`orchestrator audit`."""

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from orchestrator.cli import administration

Command = Callable[..., Result]

ME = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


def lines(shown: Result) -> list[list[str]]:
    """The cells of each line of a table, without the moments, the oldest first."""
    assert shown.exit_code == 0, shown.stderr
    return [line.split(maxsplit=5)[1:] for line in shown.stdout.splitlines()[:0:-1]]


@pytest.fixture
def history(orchestrator: Command) -> Command:
    """The commands, on a deployment in which something was done."""
    for command in (
        "tenants create acme --tier free",
        "tenants create globex --tier free",
        "tenants update acme --tier advance --limit weight=3 --limit max_outstanding=9",
        "tenants update acme --limit weight= --limit max_outstanding=8",
        "agents create 1 --tenant acme",
        "agents grant 1 --tenant globex",
        "agents revoke 1 --tenant globex",
        "agents update 1 --inactive",
        "limits set free --limit weight=2",
        "tenants suspend globex",
        "tenants suspend globex",
    ):
        assert orchestrator(*command.split()).exit_code == 0
    return orchestrator


def test_changes_in_few_words(history: Command) -> None:
    """Each change has a line: who, what, whose, and what is different; one that changed nothing has none."""
    assert lines(history("audit")) == [
        [ME, "tenants.create", "acme", "acme", "tier=free, active=yes"],
        [ME, "tenants.create", "globex", "globex", "tier=free, active=yes"],
        [ME, "tenants.update", "acme", "acme", "tier free -> advance, weight=3, max_outstanding=9"],
        [ME, "tenants.update", "acme", "acme", "weight 3 -> none, max_outstanding 9 -> 8"],
        [ME, "agents.create", "acme", "agent-1", "active=yes"],
        [ME, "agents.grant", "globex", "agent-1", "+globex"],
        [ME, "agents.revoke", "globex", "agent-1", "-globex"],
        [ME, "agents.update", "acme", "agent-1", "active yes -> no"],
        [ME, "limits.set", "-", "free", "weight=2"],
        [ME, "tenants.suspend", "globex", "globex", "active yes -> no"],
    ]


def test_moments_are_utc(history: Command) -> None:
    """The first column is the moment, to the second."""
    header, first, *_ = history("audit").stdout.splitlines()
    (entry,) = json.loads(history("audit", "--limit", "1", "--json").stdout)

    assert header.split() == ["WHEN", "WHO", "WHAT", "TENANT", "TARGET", "CHANGE"]
    assert first.split()[0] == entry["at"][:19] + "Z"


def test_a_tenant_and_a_limit_narrow_it(history: Command) -> None:
    """`--tenant` shows what concerns it, `--limit` the newest of these."""
    assert [line[1] for line in lines(history("audit", "--tenant", "globex"))] == [
        "tenants.create", "agents.grant", "agents.revoke", "tenants.suspend",
    ]  # fmt: skip
    assert [line[1] for line in lines(history("audit", "--tenant", "globex", "--limit", "1"))] == [
        "tenants.suspend"
    ]


def test_programs_get_both_records(history: Command) -> None:
    """The JSON array has the whole record before and after."""
    (entry,) = json.loads(history("audit", "--limit", "1", "--json").stdout)

    assert entry["actor"] == ME
    assert entry["before"] | {"active": False} == entry["after"]
    assert entry["after"]["id"] == "globex"


def test_nothing_is_an_empty_array(without_redis: Command) -> None:
    """A new deployment has no history; reading it needs no Redis."""
    assert without_redis("audit", "--json").stdout == "[]\n"
    assert without_redis("audit").stdout == "WHEN  WHO  WHAT  TENANT  TARGET  CHANGE\n"


@pytest.mark.parametrize("arguments", [("--limit", "0"), ("--limit", "x"), ("--tenant", "a:b")])
def test_wrong_use_ends_with_2(without_redis: Command, arguments: tuple[str, ...]) -> None:
    """A limit that is no number above zero, or a tenant that is no id, is refused."""
    assert without_redis("audit", *arguments).exit_code == 2


def test_a_user_without_a_name_is_a_number(
    orchestrator: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the machine has no name for the user, and whatever the environment says, the number is noted."""
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setattr(administration.os, "getuid", lambda: 4_000_000_123)
    orchestrator("tenants", "create", "acme", "--tier", "free")

    assert lines(orchestrator("audit"))[0][0] == "cli:4000000123"
