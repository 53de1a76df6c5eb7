"""What the user of REDIS_URL may not do is named, and nothing of it is done to find out."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.diagnosis.conftest import client_of, looked
from tests.environment import read
from tests.servers import SOURCE

from orchestrator.broker.keys import Keys
from orchestrator.broker.rights import COMMANDS, needs
from orchestrator.diagnosis.faults import Finding
from orchestrator.diagnosis.rights import rights
from orchestrator.embedded import ValkeyServer
from orchestrator.settings import Settings

MakeUser = Callable[..., Settings]

# Sent to servers for other reasons than to serve: by the checks themselves, by workers, by Clusters.
NOT_THE_SERVICE: Final = {"ACL", "ASKING", "BLPOP", "CLIENT", "CLUSTER", "DISCARD", "ECHO", "MULTI", "PING"}


@pytest.fixture
def client(each_valkey: ValkeyServer) -> Iterator[Any]:
    """An administrator of it."""
    with client_of(each_valkey) as opened:
        opened.execute_command("ACL", "LOG", "RESET")
        yield opened
        opened.acl_deluser("svc")


@pytest.fixture
def user(each_valkey: ValkeyServer, client: Any) -> MakeUser:
    """Settings whose user has these rights."""

    def made(*rules: str) -> Settings:
        client.execute_command("ACL", "SETUSER", "svc", "reset", "on", ">hunter2", *rules)
        url = each_valkey.url.replace("://", "://svc:hunter2@")
        return read(REDIS_URL=url, ENABLE_ACCESS_VALIDATION="false")

    return made


ALL: Final = ("~*", "&*", "+@all")
MISSING: Final[list[tuple[tuple[str, ...], str]]] = [
    (("~*", "resetchannels", "+@all"), "SPUBLISH {orchestrator:doctor:callbacks}:events"),
    ((*ALL, "-zunionstore"), "ZUNIONSTORE {orchestrator:doctor:callbacks}:doctor"),
    ((*ALL, "-function|load"), "FUNCTION LOAD"),
    ((*ALL, "-client|tracking"), "CLIENT TRACKING"),
    ((*ALL, "-info"), "INFO"),
    (("&*", "+@all", "~execution:*", "~orchestrator:*", "~{*orchestrator*}*"), "EXISTS {dispatch}:doctor"),
    (("&*", "+@all", "~{*", "~orchestrator:*"), "EXISTS execution:agent-doctor:free"),
    (("&*", "+@all", "~{*", "~execution:*", "%R~orchestrator:*"), "DEL orchestrator:doctor:callbacks"),
]


async def found(settings: Settings) -> Finding:
    """The one thing that the check finds."""
    (finding,) = await looked(rights, settings)
    return finding


@pytest.mark.parametrize("asks", [True, False], ids=["dry run", "queued"])
@pytest.mark.parametrize(("rules", "named"), MISSING, ids=[named for _, named in MISSING])
async def test_missing(user: MakeUser, rules: tuple[str, ...], named: str, asks: bool) -> None:
    """What is refused is named with its key, whether or not the user may ask for a dry run."""
    settings = user(*rules, *(() if asks else ("-acl",)))
    finding = await found(settings)
    assert finding.code == "rights_missing"
    assert named in finding.what
    assert ("svc" in finding.what) == asks


@pytest.mark.parametrize("rules", [ALL, (*ALL, "-@admin", "+info"), (*ALL, "-multi")], ids=str)
async def test_enough(user: MakeUser, rules: tuple[str, ...]) -> None:
    """Who may do everything that the service does has no fault, whatever else he may not do."""
    assert (await found(user(*rules))).code == ""


async def test_who_may_not_ask_at_all(user: MakeUser) -> None:
    """Without a dry run and without transactions it is said that nothing could be seen."""
    assert (await found(user(*ALL, "-acl", "-multi"))).level == "skip"


async def test_as_the_documentation_says(user: MakeUser) -> None:
    """The rights that docs/redis-keys.md names are enough."""
    names = ("execution:*", "{execution:*", "orchestrator:*", "{orchestrator*", "{prefix:*", "{dispatch}:*")
    assert (await found(user("+@all", "&*", *(f"~{name}" for name in names)))).code == ""


@pytest.mark.parametrize("rules", [(), ("-acl",)], ids=["dry run", "queued"])
async def test_nothing_is_done(user: MakeUser, client: Any, rules: tuple[str, ...]) -> None:
    """No command of the table runs, by any of the ways; a transaction is discarded."""
    settings = user(*ALL, *rules)
    client.config_resetstat()
    await found(settings)
    ran = {name for name, told in client.info("commandstats").items() if told["calls"]}
    assert not ran & {
        f"cmdstat_{name}" for name in ("exec", "hset", "del", "lpush", "ssubscribe", "spublish")
    }
    assert ("cmdstat_discard" in ran) == bool(rules)
    assert client.dbsize() == 0


async def test_a_dry_run_leaves_no_entry(user: MakeUser, client: Any) -> None:
    """The server's log of refusals is not filled by asking."""
    await found(user(*ALL, "-hset"))
    assert client.execute_command("ACL", "LOG") == []


def sent_by(paths: Iterator[Path], pattern: str) -> set[str]:
    """The commands that files send."""
    return {name for path in paths for name in re.findall(pattern, path.read_text())}


def test_every_command_is_asked_about() -> None:
    """What scripts and broker send is in the table, so that no right is forgotten."""
    folder = SOURCE / "orchestrator" / "broker"
    scripts = sent_by(folder.glob("lua/*.lua"), r"redis\.p?call\('([A-Z]+)'")
    direct = sent_by(folder.glob("*.py"), r"command\(\s*[\w.\[\]]+,\s*\"([A-Z]+)\"")
    asked = {command.split()[0] for command in COMMANDS.replace("\n", " ").split(",")}
    assert (scripts | direct) - NOT_THE_SERVICE - asked == {"SPUBLISH"}
    assert "SPUBLISH" in {words[0] for words in needs(Keys("orchestrator", "orchestrator"))}
    assert len(scripts) > 40
    assert len(direct) > 15


def test_the_table_is_of_commands(each_valkey: ValkeyServer, client: Any) -> None:
    """Each line of the table is a command that the server takes for one: a typing error would hide a right."""
    wrong = [
        (words, answer)
        for words in needs(Keys("orchestrator", "orchestrator"))
        if (answer := client.execute_command("ACL", "DRYRUN", "default", *words)) != "OK"
    ]
    assert wrong == []
