"""Users of Redis exactly as docs/agents.md makes them."""

import re
import shlex
from collections.abc import Iterator
from typing import Any, Final

import redis
from tests.servers import SOURCE

from orchestrator.embedded import ValkeyServer

PAGE: Final = SOURCE.parent / "docs" / "agents.md"
PASSWORD: Final = "a-password-of-an-agent"


def lines(name: str) -> list[str]:
    """The words of the command that the page has under this name, without `redis-cli`."""
    found = re.search(rf"<!-- acl: {name} -->\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"docs/agents.md has no user {name!r}"
    first, *words = shlex.split(found[1].replace("\\\n", "").replace("$PASSWORD", PASSWORD))
    assert first == "redis-cli"
    return words


def in_cluster() -> list[str]:
    """What the page adds for a Cluster."""
    found = re.search(r"a Cluster `(.*?)`", PAGE.read_text())
    assert found
    return shlex.split(found[1])


def add_user(valkey: ValkeyServer, name: str, agent: str = "agent-plain", tenant: str = "*") -> str:
    """Makes the user of the page, for another agent or one tenant where named; the URL by which it logs in."""
    words = [word.replace("agent-plain", agent) for word in lines(name)]
    words = [word.replace(":*:callbacks", f":{tenant}:callbacks") for word in words]
    scheme, _ = valkey.url.split("://")
    with administrator(valkey) as client:
        made = client.execute_command(*words, *(in_cluster() if "cluster" in scheme else []))
        assert made in (b"OK", True)
    return f"{scheme}://{words[2]}:{PASSWORD}@127.0.0.1:{valkey.port}/0"


def remove_users(valkey: ValkeyServer) -> None:
    """Nobody is left but the default user."""
    with administrator(valkey) as client:
        for name in client.acl_users():
            if name not in ("default", b"default"):
                client.acl_deluser(name)


def administrator(valkey: ValkeyServer) -> Any:
    """A client that may do everything."""
    return redis.Redis(port=valkey.port)


def commands_of(valkey: ValkeyServer, user: str) -> set[str]:
    """The commands that the user may run on some key or other, of all that the server has.

    Without those that are open to whoever connects, like AUTH.
    """
    with administrator(valkey) as client:
        client.set_response_callback("COMMAND", _as_it_is)
        return {name for name, arity in _commands(client) if _may_run(client, user, name, arity)}


def _as_it_is(reply: Any, **_: Any) -> Any:
    return reply


def _commands(client: Any) -> Iterator[tuple[str, int]]:
    """Each command with its arity; of those that have parts, each part."""
    for command in client.execute_command("COMMAND"):
        # COMMAND is the one with parts that is also a command by itself.
        whole = [command] if not command[-1] or command[0] == b"command" else []
        for name, arity, flags, *_ in (*whole, *command[-1]):
            if b"no_auth" not in flags:
                yield name.decode(), arity


def _may_run(client: Any, user: str, name: str, arity: int) -> bool:
    words = name.split("|")
    padding = ["1"] * (abs(arity) - len(words))
    return b"to run the" not in client.execute_command("ACL DRYRUN", user, *words, *padding)
