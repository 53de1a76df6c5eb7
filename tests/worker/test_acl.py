"""What a user of Redis that docs/agents.md makes for an agent can do, and what it cannot."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError
from structlog.testing import capture_logs
from tests.servers import SOURCE, wait_until
from tests.worker.acl import add_user, administrator, commands_of, remove_users
from tests.worker.service import CALLBACKS, Service, running
from tests.worker.test_docs import example, process

from orchestrator.broker.libraries import PARTS, libraries
from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker, Task

OWN, OTHER = "execution:agent-123:professional", "execution:agent-124:professional"

LIBRARY = """#!lua name=anything
redis.register_function('anything', function(_, words) return redis.call(unpack(words)) end)
"""

# A command for each class of things that no agent has any business with.
REFUSED = {
    "reads a callback": ("BRPOP", CALLBACKS, 1),
    "looks at callbacks": ("LRANGE", CALLBACKS, 0, -1),
    "counts callbacks": ("LLEN", CALLBACKS),
    "removes callbacks": ("DEL", CALLBACKS),
    "puts a callback before others": ("RPUSH", CALLBACKS, "x"),
    "takes a task of another agent": ("BRPOP", OTHER, 1),
    "takes one of its own and of another": ("BRPOP", OWN, OTHER, 1),
    "takes one of an agent whose name goes on": ("BRPOP", OWN.replace("-123", "-1234"), 1),
    "queues a task for another": ("LPUSH", OTHER, "x"),
    "queues a task for itself": ("LPUSH", OWN, "x"),
    "reads a task's record": ("HGETALL", f"{{{CALLBACKS}}}:task:task-1"),
    "asks for a task's record": ("EXISTS", f"{{{CALLBACKS}}}:task:task-1"),
    "reads a session's log": ("LRANGE", f"{{{CALLBACKS}}}:session:s:log", 0, -1),
    "cancels a task": ("LPUSH", f"{{{CALLBACKS}}}:cancel:task-1", "x"),
    "looks at tasks of another agent": ("LRANGE", OTHER, 0, -1),
    "reads a task of another agent beside its queue": ("GET", f"{{{OTHER}}}:t:task-1:1"),
    "answers in place of a user": ("HSET", f"{{{CALLBACKS}}}:answers:task-1", "1", "x"),
    "writes in place of a user": ("RPUSH", f"{{{CALLBACKS}}}:inbox:task-1", "x"),
    "reads any key": ("GET", "some:key"),
    "writes any key": ("SET", "some:key", "x"),
    "pushes to any key": ("LPUSH", "some:key", "x"),
    "runs a script": ("EVAL", "return 1", 0),
    "runs a known script": ("EVALSHA", "0" * 40, 0),
    "loads a script": ("SCRIPT", "LOAD", "return 1"),
    "loads a function": ("FUNCTION", "LOAD", "REPLACE", LIBRARY),
    "deletes functions": ("FUNCTION", "DELETE", "library"),
    "flushes functions": ("FUNCTION", "FLUSH"),
    "restores functions": ("FUNCTION", "RESTORE", "x"),
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

# What only a worker of the SDK may do: it looks at what waits, and calls functions.
REFUSED_TO_PLAIN = {
    "looks at tasks it has not taken": ("LRANGE", OWN, 0, -1),
    "disturbs the fair order": ("ZADD", "{dispatch}:workers", 1, "w"),
    "calls a function": ("FCALL", "f", 0),
}

# What is refused to whoever has the agents of another tenant, though it may know the ids of tasks.
REFUSED_TO_OTHER_TENANTS = {
    "reports": ("LPUSH", CALLBACKS, "x"),
    "sees a cancellation": ("EXISTS", f"{{{CALLBACKS}}}:cancel:task-1"),
    "reads what a user has added": ("LRANGE", f"{{{CALLBACKS}}}:inbox:task-1", 0, -1),
    "reads what a user has answered": ("HGET", f"{{{CALLBACKS}}}:answers:task-1", "1"),
}

# What the SDK calls by itself, and the scripts that it runs.
DIRECT = {
    "client|setinfo",
    "fcall",
    "blpop",
    "exists",
    "hget",
    "llen",
    "lpush",
    "lrange",
    "lrem",
    "set",
}
SCRIPTS = ("register", "claim", "take", "renew", "finish", "pause", "ready", "depths", "leave")

WORKER = ("-m", "orchestrator", "worker", "agents:worker")
AGENTS = """
import asyncio
from orchestrator.worker import AgentWorker

worker = AgentWorker(lease=1, stop_timeout=0.1)

@worker.agent("agent-123")
async def answer(task):
    yield "half "
    if task.message == "ask":
        yield await task.ask("Which half?")
    while task.message == "stay" or (task.message == "listen" and not await task.messages()):
        await asyncio.sleep(0.05)
    yield "whole"
"""


def with_users(valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    """A Valkey on which a test may make users, and that has refused nobody anything yet; the service has started."""
    with administrator(valkey) as client:
        load_functions(client)
        client.acl_log_reset()
    yield valkey
    remove_users(valkey)


def load_functions(client: Any) -> None:
    """As the service does when it starts."""
    for library in libraries().values():
        client.function_load(library.text, replace=True)


@pytest.fixture
def users(valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    """A single one."""
    yield from with_users(valkey)


@pytest.fixture(params=["valkey", "valkey_cluster"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    """One of each kind."""
    yield from with_users(request.getfixturevalue(request.param))


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


@pytest.mark.parametrize("command", (all_ := REFUSED | REFUSED_TO_PLAIN).values(), ids=all_.keys())
def test_a_plain_agent_cannot(users: ValkeyServer, command: tuple[Any, ...]) -> None:
    """Everything else is refused: other keys, other commands, and its own commands on the keys of the others."""
    with user(add_user(users, "plain", "agent-123")) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_a_plain_agent_has_no_other_command(users: ValkeyServer) -> None:
    """Of all commands that the server knows it may run these, beside those that whoever connects may run."""
    add_user(users, "plain")

    assert commands_of(users, "agent-plain") == {"brpop", "lpush", "exists", "client|setinfo"}


async def test_a_worker_works(anywhere: ValkeyServer, tmp_path: Path) -> None:
    """With the worker's user of the page every part of the SDK works, and nothing that it does is refused."""
    (tmp_path / "agents.py").write_text(AGENTS)
    url = add_user(anywhere, "sdk")
    async with Service(anywhere.port) as service:
        await every_part(anywhere, service, tmp_path, url)


async def every_part(valkey: ValkeyServer, service: Service, folder: Path, url: str) -> None:
    """Tasks that wait, end, ask, listen, are cancelled and are handed over."""
    tasks = {message: await service.send(message) for message in ("stay", "go", "ask", "listen")}
    await service.answer(tasks["ask"], "1", "left ", deadline=datetime.now(UTC) + timedelta(seconds=60))
    await service.steer(tasks["listen"], "more")
    with process(folder, valkey, *WORKER, REDIS_URL=url) as worker, administrator(valkey) as client:
        endings = await endings_of(service, 3)
        await service.cancel(tasks["stay"])
        await wait_until(lambda: not client.exists(f"{{dispatch}}:l:{tasks['stay']}"))
        handed_over = await service.send("stay")
        while (await service.callback())["task_id"] != handed_over:
            pass
        worker.terminate()
        assert (await service.ending())["result"]["error"]["code"] == "worker_stopped"
        assert worker.wait(20) == 0
        denied = client.acl_log()

    assert endings == {
        tasks["go"]: "half whole",
        tasks["ask"]: "half left whole",
        tasks["listen"]: "half whole",
    }
    assert denied == []


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED.keys())
def test_a_worker_cannot(users: ValkeyServer, command: tuple[Any, ...]) -> None:
    """Everything else is refused, and a function gets it no further, whoever has loaded that."""
    with user(add_user(users, "sdk")) as client:
        with pytest.raises(NoPermissionError):
            client.execute_command(*command)
        with administrator(users) as admin:
            admin.function_load(LIBRARY, replace=True)
        with pytest.raises(ResponseError, match=r"ACL failure|not allowed from script"):
            client.fcall("anything", 0, *command)


@pytest.mark.parametrize("name", ["plain", "sdk"])
def test_agents_of_one_tenant(users: ValkeyServer, name: str) -> None:
    """With its tenant in the patterns an agent gets at nothing of another one."""
    client = user(add_user(users, name, tenant="acme"))
    client.lpush(CALLBACKS.replace("tenant-456", "acme"), "x")
    for command in REFUSED_TO_OTHER_TENANTS.values():
        with pytest.raises(NoPermissionError):
            client.execute_command(*command)


async def test_a_worker_of_one_tenant_works(users: ValkeyServer, service: Service, tmp_path: Path) -> None:
    """Every part of the SDK works for the tenant that is named."""
    (tmp_path / "agents.py").write_text(AGENTS)
    await every_part(users, service, tmp_path, add_user(users, "sdk", tenant="tenant-456"))


async def test_a_worker_without_functions(users: ValkeyServer, service: Service) -> None:
    """It says what is missing and who brings it, once for each thing it tries, and works as soon as that is there."""
    worker = AgentWorker(redis_url=add_user(users, "sdk"))

    @worker.agent("agent-123")
    async def _(_: Task) -> str:
        return "fine"

    def said() -> bool:
        return any("the service loads them when it starts" in line.get("error", "") for line in logs)

    with administrator(users) as client, capture_logs() as logs:
        client.function_flush()
        async with running(worker):
            await service.send()
            await wait_until(said)
            load_functions(client)
            assert (await service.ending())["status"] == "completed"
    failed = [line["operation"] for line in logs if line["event"] == "redis_unreachable"]
    assert len(failed) == len(set(failed))


def test_a_worker_has_no_other_command(users: ValkeyServer) -> None:
    """It may run what the SDK and its scripts use, and of all other commands that the server knows none."""
    add_user(users, "sdk")
    folder = SOURCE / "orchestrator" / "broker" / "lua"
    texts = [(folder / f"{name}.lua").read_text() for name in (*SCRIPTS, *PARTS["dispatch"])]
    calls = [call for text in texts for call in re.findall(r"redis\.call\(([^,)]*)", text)]
    scripted = {name.lower() for call in calls for name in re.findall(r"'([A-Z]+)'", call)}

    assert commands_of(users, "agents") == DIRECT | scripted


def user(url: str) -> Any:
    """A client that has logged in."""
    return cast("Any", redis.Redis).from_url(url)


async def endings_of(service: Service, number: int) -> dict[str, str]:
    """What so many tasks answered."""
    found: dict[str, str] = {}
    while len(found) < number:
        callback = await service.callback(20)
        if callback["status"] == "completed":
            found[callback["task_id"]] = callback["result"]["response"]
    return found
