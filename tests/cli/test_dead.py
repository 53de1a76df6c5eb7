"""`orchestrator dead replay` and `dead purge`: which letters are meant, and what is noted of it."""

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis
from click.testing import CliRunner, Result

from orchestrator.cli.main import main
from orchestrator.embedded import ValkeyServer

Command = Callable[..., Result]
HOUR = 3_600


def bury(valkey: ValkeyServer, tenant: str, body: str, reason: str = "not_json", age: float = 60) -> None:
    """A letter of `age` seconds ago, as the scripts keep it."""
    head = msgspec.msgpack.encode([reason, int((time.time() - age) * 1e6), len(body), ""])
    entry = len(head).to_bytes(2) + head + body.encode()
    with redis.Redis(port=valkey.port) as client:
        key = f"{{orchestrator:{tenant}:callbacks}}:dead"
        client.lpush(key, entry)
        client.expire(key, 600)


def left(orchestrator: Command, tenant: str) -> list[str]:
    """The reasons of a tenant's letters, the newest first."""
    listed = json.loads(orchestrator("dead", "list", "--tenant", tenant, "--json").stdout)
    return [letter["reason"] for letter in listed]


def done(ended: Result) -> list[tuple[str, str, str]]:
    """What a command says that it did."""
    assert ended.exit_code == 0, ended.output
    return [(row["tenant_id"], row["reason"], row["outcome"]) for row in json.loads(ended.stdout)]


@pytest.fixture
def letters(valkey: ValkeyServer, orchestrator: Command) -> Command:
    """The commands, where two tenants have three letters."""
    for tenant in ("acme", "globex"):
        orchestrator("tenants", "create", tenant, "--tier", "free")
    bury(valkey, "acme", "1", age=3 * HOUR)
    bury(valkey, "acme", "2", "unknown_task")
    bury(valkey, "globex", "3")
    return orchestrator


def test_every_tenant(letters: Command) -> None:
    """Without `--tenant` the letters of all are meant; an ID is found wherever it lies."""
    (listed,) = json.loads(letters("dead", "list", "--tenant", "globex", "--json").stdout)
    assert done(letters("dead", "purge", listed["id"], "--json")) == [("globex", "not_json", "purged")]
    assert done(letters("dead", "purge", "--all", "--yes", "--json")) == [
        ("acme", "unknown_task", "purged"),
        ("acme", "not_json", "purged"),
    ]


def test_of_one_reason_and_tenant(letters: Command) -> None:
    """`--reason` and `--tenant` narrow what `--all` means."""
    rows = done(
        letters("dead", "purge", "--all", "--yes", "--reason", "not_json", "--tenant", "acme", "--json")
    )
    assert rows == [("acme", "not_json", "purged")]
    assert (left(letters, "acme"), left(letters, "globex")) == (["unknown_task"], ["not_json"])


def test_older_than(letters: Command) -> None:
    """`--older-than` leaves what is younger, and needs no `--all`."""
    assert done(letters("dead", "purge", "--older-than", "1d", "--yes", "--json")) == []
    assert len(done(letters("dead", "purge", "--older-than", "2h", "--yes", "--json"))) == 1
    assert left(letters, "acme") == ["unknown_task"]


@pytest.mark.parametrize("deed", ["replay", "purge"])
def test_many_are_asked_about(letters: Command, deed: str) -> None:
    """How many of whom; without a yes nothing happens."""
    ended = letters("dead", deed, "--all")
    assert ended.exit_code == 1
    assert f"{deed.capitalize()} 3 dead letters of acme, globex? [y/N]" in ended.stderr
    assert len(left(letters, "acme")) == 2


def test_a_yes(letters: Command, environment: dict[str, str], valkey: ValkeyServer) -> None:
    """Who says yes is told in words what was done."""
    settings = environment | {"REDIS_URL": valkey.url}
    ended = CliRunner().invoke(main, ["dead", "replay", "--all"], env=settings, input="y\n")
    assert ended.stdout.endswith("3 replayed\n")
    with redis.Redis(port=valkey.port) as client:
        assert client.lrange("orchestrator:acme:callbacks", 0, -1) == [b"2", b"1"]


WRONG: list[tuple[tuple[str, ...], int]] = [
    (("replay", "000000000000"), 1),
    (("purge", "000000000000"), 1),
    (("replay",), 2),
    (("purge",), 2),
    (("replay", "000000000000", "--all"), 2),
    (("purge", "000000000000", "--older-than", "1d"), 2),
    (("purge", "000000000000", "--reason", "not_json"), 2),
    (("purge", "--older-than", "soon"), 2),
]


@pytest.mark.parametrize(("arguments", "code"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_use(letters: Command, arguments: tuple[str, ...], code: int) -> None:
    """Exit code 1 where no such letter is, 2 where it is not said which; one line says so."""
    ended = letters("dead", *arguments)
    assert (ended.exit_code, ended.stdout) == (code, "")
    assert ended.stderr.splitlines()[-1].startswith("Error: ")


def test_audited(letters: Command) -> None:
    """Who handled how many letters of which reason stands in the audit table, by tenant."""
    newest = json.loads(letters("dead", "list", "--tenant", "acme", "--json").stdout)[0]["id"]
    letters("dead", "replay", newest)
    letters("dead", "purge", "--all", "--yes")

    def entries(tenant: str) -> list[tuple[Any, ...]]:
        found = json.loads(letters("audit", "--tenant", tenant, "--json").stdout)
        return [(entry["action"], entry["target"], entry["after"]) for entry in found[:-1]]

    one = {"letters": 1, "reasons": {"not_json": 1}}
    assert entries("acme") == [
        ("dead.purge", "acme", one),
        ("dead.replay", newest, {"letters": 1, "reasons": {"unknown_task": 1}}),
    ]
    assert entries("globex") == [("dead.purge", "globex", one)]


def test_without_the_database(
    valkey: ValkeyServer, orchestrator: Command, environment: dict[str, str]
) -> None:
    """A database that is away keeps nobody from it: it is done, and said that it was not noted."""
    bury(valkey, "acme", "1")
    away = {"REDIS_URL": valkey.url, "DATABASE_URL": environment["DATABASE_URL"] + "/nowhere/x.db"}
    ended = CliRunner().invoke(main, ["dead", "purge", "--all", "--yes", "--tenant", "acme"], env=away)
    assert (ended.exit_code, ended.stdout) == (0, "1 purged\n")
    assert ended.stderr.startswith("Not noted in the audit table: The database at ")
