"""`orchestrator token revoke`."""

import re
from collections.abc import Callable

import pytest
from click.testing import Result
from tests.broker.tenant import raw_client

from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.times import micros

Command = Callable[..., Result]


def test_it_says_what_it_means(orchestrator: Command, valkey: ValkeyServer) -> None:
    """The moment up to which tokens are void is printed, and every replica is told of it."""
    orchestrator("tenants", "create", "acme", "--tier", "free")
    revoked = orchestrator("token", "revoke", "--tenant", "acme", "--sub", "ann smith")

    assert (revoked.exit_code, revoked.stderr) == (0, "")
    until = re.fullmatch(
        r"tokens of ann smith in tenant acme issued until (\S+Z) are refused;"
        r" its sockets are closed within a second\n",
        revoked.stdout,
    )
    assert until
    with raw_client(valkey.port) as client:
        told = client.zrange("{orchestrator}:changes", -1, -1)[0].decode()
    kind, at, rest = told.split(" ", 2)
    assert (kind, int(at) // 1_000_000, rest) == ("revoked", micros(until[1]) // 1_000_000, "acme ann smith")


def test_tokens_of_the_deployment(orchestrator: Command, valkey: ValkeyServer) -> None:
    """A token that names no tenant, an administrator's for example, can be revoked too."""
    revoked = orchestrator("token", "revoke", "--no-tenant", "--sub", "operator")

    assert revoked.stdout.startswith("tokens of operator without a tenant issued until ")
    assert revoked.stderr == ""
    with raw_client(valkey.port) as client:
        told = client.zrange("{orchestrator}:changes", -1, -1)[0].decode()
    assert re.fullmatch(r"revoked \d+  operator", told)


def test_it_is_in_the_audit_table(orchestrator: Command) -> None:
    """A revocation is noted like any other change."""
    orchestrator("token", "revoke", "--tenant", "acme", "--sub", "ann")

    (line,) = orchestrator("audit").stdout.splitlines()[1:]
    assert line.split()[2:5] == ["tokens.revoke", "acme", "ann"]


def test_a_tenant_that_is_not_on_record_is_mentioned(orchestrator: Command) -> None:
    """It may be a typo, or a deployment that keeps no records: done all the same, and said."""
    revoked = orchestrator("token", "revoke", "--tenant", "acne", "--sub", "ann")

    assert (revoked.exit_code, revoked.stderr) == (0, "Note: there is no tenant acne on record.\n")


def test_a_revocation_without_redis_is_stored_and_said(without_redis: Command) -> None:
    """While Redis is away the revocation is stored, and the command fails with what that means."""
    result = without_redis("token", "revoke", "--tenant", "acme", "--sub", "ann")

    assert result.exit_code == 1
    assert "changed, but replicas learn of it only when they next read the database" in result.stderr
    assert "tokens.revoke" in without_redis("audit").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tenant", "acme"),
        ("--sub", "ann"),
        ("--tenant", "acme", "--no-tenant", "--sub", "ann"),
        ("--tenant", "a:b", "--sub", "ann"),
        ("--tenant", "acme", "--sub", ""),
        ("--tenant", "acme", "--sub", "a\nb"),
        ("--tenant", "acme", "--sub", "x" * 256),
    ],
)
def test_wrong_use_ends_with_2(without_redis: Command, arguments: tuple[str, ...]) -> None:
    """Both names are needed, and have to be names."""
    assert without_redis("token", "revoke", *arguments).exit_code == 2
