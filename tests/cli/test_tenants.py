"""`orchestrator tenants`."""

import asyncio
import json
from collections.abc import Callable

import pytest
import redis
from click.testing import Result
from tests.broker.tenant import KEEPING, Tenant, raw_client

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

Command = Callable[..., Result]


def test_a_tenant_is_created_and_shown(orchestrator: Command) -> None:
    """What was created is listed, for people in columns and for programs as a JSON array."""
    created = orchestrator("tenants", "create", "acme", "--tier", "professional")
    assert (created.exit_code, created.stdout) == (0, "tenant acme created, tier professional\n")

    assert orchestrator("tenants", "list").stdout.splitlines() == [
        "ID    TIER          ACTIVE  OWN LIMITS",
        "acme  professional  yes",
    ]
    (listed,) = json.loads(orchestrator("tenants", "list", "--json").stdout)
    assert listed == json.loads(orchestrator("tenants", "show", "acme", "--json").stdout)
    assert listed.pop("created_at").endswith("Z")
    assert listed == {"id": "acme", "tier": "professional", "active": True, "limits": {}}


def test_an_empty_list_is_an_empty_array(without_redis: Command) -> None:
    """A new database lists nothing; reading needs no Redis."""
    listed = without_redis("tenants", "list", "--json")

    assert (listed.exit_code, listed.stdout) == (0, "[]\n")


def test_limits_are_set_and_removed_one_by_one(orchestrator: Command) -> None:
    """`--limit NAME=NUMBER` sets one limit, `NAME=` gives it back to the tier, the others stay."""
    orchestrator("tenants", "create", "acme", "--tier", "free")
    orchestrator("tenants", "update", "acme", "--limit", "max_outstanding=50", "--limit", "weight=3")
    changed = orchestrator("tenants", "update", "acme", "--tier", "advance", "--limit", "weight=")

    assert changed.exit_code == 0
    shown = json.loads(orchestrator("tenants", "show", "acme", "--json").stdout)
    assert (shown["tier"], shown["limits"]) == ("advance", {"max_outstanding": 50})


def test_suspend_and_resume(orchestrator: Command) -> None:
    """A suspended tenant is inactive until it is resumed."""
    orchestrator("tenants", "create", "acme", "--tier", "free")

    assert (
        orchestrator("tenants", "suspend", "acme").stdout == "tenant acme is suspended; open tasks ended: 0\n"
    )
    assert "acme  free  no" in orchestrator("tenants", "show", "acme").stdout
    assert orchestrator("tenants", "resume", "acme").stdout == "tenant acme is active\n"
    assert "acme  free  yes" in orchestrator("tenants", "show", "acme").stdout


def test_a_suspension_ends_open_tasks(orchestrator: Command, valkey: ValkeyServer) -> None:
    """The command says how many tasks it ended; once more, there are none; sockets are asked about each time."""
    orchestrator("tenants", "create", "acme", "--tier", "free")
    tasks = asyncio.run(three_tasks(valkey))

    assert orchestrator("tenants", "suspend", "acme").stdout == (
        "tenant acme is suspended; open tasks ended: 3\n"
    )
    shown = json.loads(orchestrator("tasks", "show", tasks[0], "--json").stdout)
    assert (shown[0]["status"], shown[0]["code"]) == ("cancelled", "suspended")
    with raw_client(valkey.port) as client:
        client.delete("{orchestrator}:changes")
        again = orchestrator("tenants", "suspend", "acme")
        assert client.zrange("{orchestrator}:changes", 0, -1) == [b"tenant acme"]
    assert again.stdout == "tenant acme is suspended; open tasks ended: 0\n"


async def three_tasks(valkey: ValkeyServer) -> list[str]:
    """Open tasks of acme."""
    with raw_client(valkey.port) as client:
        async with Broker(valkey.url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
            await broker.set_clock()
            tenant = Tenant(broker, client)
            return [await tenant.task() for _ in range(3)]


def test_tasks_that_stay_open_are_said(orchestrator: Command, valkey: ValkeyServer) -> None:
    """A task that cannot be ended makes the command fail, with what to do."""
    orchestrator("tenants", "create", "acme", "--tier", "free")
    task = asyncio.run(three_tasks(valkey))[0]
    with raw_client(valkey.port) as client:
        client.set(f"{{orchestrator:acme:callbacks}}:task:{task}", "no hash", ex=60)
    result = orchestrator("tenants", "suspend", "acme")

    assert (result.exit_code, result.stderr) == (
        1,
        "Error: suspended, but 1 of its open tasks could not be ended (2 were); suspend it again to finish\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "a:b", "--tier", "free"), "'a:b' must match"),
        (("create", "x" * 129, "--tier", "free"), "must match"),
        (("create", "acme"), "Missing option '--tier'"),
        (("create", "acme", "--tier", "gold"), "'gold' is not one of"),
        (("update", "acme"), "Nothing to change"),
        (("update", "acme", "--limit", "weight"), "'weight' is not NAME=NUMBER"),
        (("update", "acme", "--limit", "speed=9"), "requests_per_minute, max_outstanding"),
        (("update", "acme", "--limit", "weight=0"), "weight: 0 is not a whole number from 1"),
        (("update", "acme", "--limit", "weight=-1"), "'-1' is not a whole number from 1"),
        (("update", "acme", "--limit", "weight=99999999999"), "is not a whole number from 1"),
        (("update", "acme", "--limit", "weight=1.5"), "'1.5' is not a whole number from 1"),
    ],
)
def test_wrong_use_ends_with_2(without_redis: Command, arguments: tuple[str, ...], said: str) -> None:
    """An argument that cannot be right is refused before anything is opened, and says what is allowed."""
    result = without_redis("tenants", *arguments)

    assert result.exit_code == 2
    assert said in result.stderr


def test_what_cannot_be_done_ends_with_1(orchestrator: Command) -> None:
    """A taken id and an unknown one end with one line on stderr."""
    orchestrator("tenants", "create", "acme", "--tier", "free")
    taken = orchestrator("tenants", "create", "acme", "--tier", "free")
    unknown = orchestrator("tenants", "suspend", "nobody")

    assert (taken.exit_code, taken.stderr) == (1, "Error: tenant acme exists already.\n")
    assert (unknown.exit_code, unknown.stderr) == (1, "Error: There is no tenant nobody.\n")


def test_a_change_voids_the_cached_answers(orchestrator: Command, valkey: ValkeyServer) -> None:
    """Every change begins a new generation of the tenant's access answers in Redis."""
    generations: list[object] = []
    with redis.Redis(port=valkey.port) as client:
        for arguments in (("create", "acme", "--tier", "free"), ("suspend", "acme"), ("resume", "acme")):
            assert orchestrator("tenants", *arguments).exit_code == 0
            generations.append(client.get("{orchestrator:acme:callbacks}:generation"))

    assert None not in generations
    assert len(set(generations)) == 3


def test_a_change_without_redis_is_stored_and_said(without_redis: Command) -> None:
    """While Redis is away the change is made, and the command fails with what that means."""
    result = without_redis("tenants", "create", "acme", "--tier", "free")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: changed, but replicas may use old answers for up to ")
    assert result.stderr.count("\n") == 1
    assert "acme  free" in without_redis("tenants", "list").stdout
