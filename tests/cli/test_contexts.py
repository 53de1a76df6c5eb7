"""`orchestrator agents`, `workflows` and `collections`: the same commands for each type."""

import json
from collections.abc import Callable

import pytest
import redis
from click.testing import Result

from orchestrator.embedded import ValkeyServer

Command = Callable[..., Result]

KINDS = ("agent", "workflow", "collection")


@pytest.fixture
def tenants(orchestrator: Command) -> Command:
    """The commands, on a deployment with the tenants acme and globex."""
    for tenant_id in ("acme", "globex"):
        orchestrator("tenants", "create", tenant_id, "--tier", "free")
    return orchestrator


@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_a_context(tenants: Command, kind: str) -> None:
    """It is created, granted, switched off and revoked under its canonical id, however it is spelled."""
    commands = f"{kind}s"
    context_id = f"{kind}-123"

    assert tenants(commands, "create", "123", "--tenant", "acme").stdout == (
        f"{context_id} created, owned by acme\n"
    )
    assert (
        tenants(commands, "grant", "123", "--tenant", "globex").stdout == f"{context_id} granted to globex\n"
    )
    assert tenants(commands, "update", context_id, "--inactive").stdout == (
        f"{context_id} is inactive; turn policy default, attempts default\n"
    )
    assert tenants(commands, "list", "--tenant", "globex").stdout.splitlines()[1].split() == [
        context_id,
        "acme",
        "no",
        "default",
        "default",
        "globex",
    ]
    assert tenants(commands, "update", "123", "--active").stdout.startswith(f"{context_id} is active;")
    assert (
        tenants(commands, "revoke", "123", "--tenant", "globex").stdout
        == f"{context_id} revoked from globex\n"
    )
    assert json.loads(tenants(commands, "list", "--tenant", "globex", "--json").stdout) == []


def test_each_command_lists_its_own_type(tenants: Command) -> None:
    """Agents are not among the workflows; the JSON has everything that is known."""
    tenants("agents", "create", "123", "--tenant", "acme")
    tenants("workflows", "create", "123", "--tenant", "acme")

    (listed,) = json.loads(tenants("agents", "list", "--json").stdout)
    assert listed.pop("created_at").endswith("Z")
    assert listed == {
        "id": "agent-123",
        "type": "agent",
        "tenant_id": "acme",
        "active": True,
        "granted_to": [],
        "turn_policy": None,
        "max_attempts": None,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_turns_and_attempts(tenants: Command, kind: str) -> None:
    """Both are set when it is created or later, shown in the list, and go back to `default` by that word."""
    made = (f"{kind}s", "create", "9", "--tenant", "acme", "--turn-policy", "queue", "--max-attempts", "5")
    assert tenants(*made).exit_code == 0
    assert tenants(f"{kind}s", "list").stdout.splitlines()[1].split() == [
        f"{kind}-9", "acme", "yes", "queue", "5",
    ]  # fmt: skip
    told = tenants(f"{kind}s", "update", "9", "--turn-policy", "merge").stdout
    assert told == f"{kind}-9 is active; turn policy merge, attempts 5\n"
    back = ("update", "9", "--turn-policy", "default", "--max-attempts", "default")
    assert tenants(f"{kind}s", *back).exit_code == 0
    (listed,) = json.loads(tenants(f"{kind}s", "list", "--json").stdout)
    assert (listed["turn_policy"], listed["max_attempts"]) == (None, None)


def test_a_grant_voids_the_cached_answers(tenants: Command, valkey: ValkeyServer) -> None:
    """A denial that Redis remembers for the grantee is void as soon as it is granted."""
    tenants("agents", "create", "123", "--tenant", "acme")
    key = "{orchestrator:globex:callbacks}:generation"
    with redis.Redis(port=valkey.port) as client:
        before = client.get(key)
        tenants("agents", "grant", "123", "--tenant", "globex")

        assert client.get(key) != before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "agent-7", "--tenant", "globex"), 1, "agent agent-7 exists already."),
        (("create", "8", "--tenant", "nobody"), 1, "There is no tenant nobody."),
        (("grant", "9", "--tenant", "acme"), 1, "There is no agent agent-9."),
        (("revoke", "7", "--tenant", "globex"), 1, "There is no grant of agent-7 to globex."),
        (("update", "9", "--active"), 1, "There is no agent agent-9."),
        (("update", "7"), 2, "Nothing to change"),
        (("update", "7", "--turn-policy", "never"), 2, "'never' is not one of"),
        (("update", "7", "--max-attempts", "0"), 2, "'0' is neither a number from 1 to 100"),
        (("update", "7", "--max-attempts", "101"), 2, "'101' is neither a number from 1 to 100"),
        (("create", "7", "--tenant", "acme", "--max-attempts", "x"), 2, "'x' is neither a number"),
        (("create", "7"), 2, "Missing option '--tenant'"),
        (("create", "*", "--tenant", "acme"), 2, "'*' must match"),
        (("create", "x" * 123, "--tenant", "acme"), 2, "must match"),
        (("list", "--tenant", "{x}"), 2, "'{x}' must match"),
    ],
)
def test_what_is_refused(tenants: Command, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Each refusal has its exit code and names what is wrong."""
    tenants("agents", "create", "7", "--tenant", "acme")
    result = tenants("agents", *arguments)

    assert result.exit_code == code
    assert said in result.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["create", "grant", "revoke", "list", "update"])
def test_help_ends_with_a_line_to_copy(without_redis: Command, kind: str, command: str) -> None:
    """`--help` of every command has an example of itself, on a line of its own."""
    shown = without_redis(f"{kind}s", command, "--help").stdout

    assert f"\n    orchestrator {kind}s {command} " in shown
