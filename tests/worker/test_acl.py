"""What a user of Redis that docs/agents.md makes for an agent can do, and what it cannot (docs/agents.md)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis.exceptions import NoPermissionError
from tests.worker.acl import add_user, commands_of, remove_users
from tests.worker.service import CALLBACKS, Service
from tests.worker.test_docs import example, process

from orchestrator.embedded import ValkeyServer

OWN = "execution:agent-plain:professional"

# A command for each class of things that an agent has no business with.
REFUSED = {
    "reads a callback": ("BRPOP", CALLBACKS, 1),
    "looks at callbacks": ("LRANGE", CALLBACKS, 0, -1),
    "counts callbacks": ("LLEN", CALLBACKS),
    "removes callbacks": ("DEL", CALLBACKS),
    "puts a callback before others": ("RPUSH", CALLBACKS, "x"),
    "takes a task of another agent": ("BRPOP", "execution:agent-123:professional", 1),
    "takes one of its own and of another": ("BRPOP", OWN, "execution:agent-123:professional", 1),
    "takes one of an agent whose name goes on": ("BRPOP", "execution:agent-plain-2:professional", 1),
    "queues a task for another": ("LPUSH", "execution:agent-123:professional", "x"),
    "queues a task for itself": ("LPUSH", OWN, "x"),
    "looks at tasks it has not taken": ("LRANGE", OWN, 0, -1),
    "reads a task's record": ("HGETALL", f"{{{CALLBACKS}}}:task:task-1"),
    "asks for a task's record": ("EXISTS", f"{{{CALLBACKS}}}:task:task-1"),
    "reads a session's log": ("LRANGE", f"{{{CALLBACKS}}}:session:s:log", 0, -1),
    "cancels a task": ("LPUSH", f"{{{CALLBACKS}}}:cancel:task-1", "x"),
    "reads any key": ("GET", "some:key"),
    "writes any key": ("SET", "some:key", "x"),
    "pushes to any key": ("LPUSH", "some:key", "x"),
    "disturbs the fair order": ("ZADD", "{dispatch}:workers", 1, "w"),
    "runs a script": ("EVAL", "return 1", 0),
    "runs a known script": ("EVALSHA", "0" * 40, 0),
    "loads a script": ("SCRIPT", "LOAD", "return 1"),
    "calls a function": ("FCALL", "f", 0),
    "reads settings": ("CONFIG", "GET", "requirepass"),
    "changes settings": ("CONFIG", "SET", "dir", "/tmp"),
    "lists keys": ("KEYS", "*"),
    "scans keys": ("SCAN", 0),
    "empties everything": ("FLUSHALL",),
    "empties the database": ("FLUSHDB",),
    "tells viewers something": ("PUBLISH", "channel", "x"),
    "tells viewers something in a cluster": ("SPUBLISH", "channel", "x"),
    "listens to viewers": ("SUBSCRIBE", "channel"),
    "watches all commands": ("MONITOR",),
    "makes users": ("ACL", "SETUSER", "eve", "on", "nopass", "+@all", "~*"),
    "lists users": ("ACL", "LIST"),
    "lists clients": ("CLIENT", "LIST"),
    "ends connections": ("CLIENT", "KILL", "TYPE", "normal"),
    "learns about the server": ("INFO",),
    "stops the server": ("SHUTDOWN", "NOSAVE"),
    "debugs the server": ("DEBUG", "SLEEP", "0"),
    "makes it a replica": ("REPLICAOF", "127.0.0.1", "1"),
    "lists modules": ("MODULE", "LIST"),
    "copies a key away": ("RESTORE", OWN, 0, "x"),
    "renames a queue": ("RENAME", OWN, "mine"),
}


@pytest.fixture
def users(valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    """A Valkey on which a test may make users."""
    yield valkey
    remove_users(valkey)


def refused(url: str, *command: Any) -> bool:
    """Whether this user may not do this."""
    client: Any = cast("Any", redis.Redis).from_url(url)
    with client:
        try:
            client.execute_command(*command)
        except NoPermissionError:
            return True
    return False


async def test_a_plain_agent_works(users: ValkeyServer, service: Service, tmp_path: Path) -> None:
    """The plain agent of the page answers, and sees a cancellation, with nothing but what the user may do."""
    url = add_user(users, "plain")
    (tmp_path / "plain.py").write_text(example("plain"))
    cancelled = await service.send("cancelled", context="agent-plain")
    await service.cancel(cancelled)
    task_id = await service.send("two words", context="agent-plain")
    with process(tmp_path, users, "plain.py", REDIS_URL=url):
        callbacks = [await service.callback(20), *await service.until_end()]

    assert [c["status"] for c in callbacks if c["task_id"] == cancelled] == ["running"]
    mine = [c["status"] for c in callbacks if c["task_id"] == task_id]
    assert mine == ["running", "streaming", "streaming", "completed"]


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED.keys())
def test_a_plain_agent_cannot(users: ValkeyServer, command: tuple[Any, ...]) -> None:
    """Everything else is refused: other keys, other commands, and its own commands on the keys of the others."""
    assert refused(add_user(users, "plain"), *command)


def test_a_plain_agent_has_no_other_command(users: ValkeyServer) -> None:
    """Of all commands that the server knows it may run these, beside those that whoever connects may run."""
    add_user(users, "plain")

    assert commands_of(users, "agent-plain") == {"brpop", "lpush", "exists", "client|setinfo"}
