"""`orchestrator worker MODULE:WORKER --reload` starts again at every change (docs/agents.md)."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.servers import base_environment, wait_blocking, wait_until
from tests.worker.service import Service

from orchestrator.cli.reload import Reloader
from orchestrator.embedded import ValkeyServer

SAVED = 1_700_000_000
"""Every version is saved in the same second, and some have the same length."""
AGENTS = """
import asyncio
from orchestrator.worker import AgentWorker

worker = AgentWorker(concurrency={number})

@worker.agent("agent-123")
async def answer(task):
    if task.message == "slow":
        await asyncio.sleep(3600)
    return "{number}"
"""

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: None)
with open(sys.argv[1], "a") as starts: starts.write("x")
while True: time.sleep(60)
"""


class Developer:
    """Edits agents.py and looks at what the command prints."""

    def __init__(self, directory: Path, valkey: ValkeyServer, options: tuple[str, ...]) -> None:
        self._file = directory / "agents.py"
        self._log = directory / "output.log"
        self.write(1)
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "worker", "agents:worker", "--reload", *options],
                cwd=directory,
                env=base_environment() | {"REDIS_URL": valkey.url},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def write(self, number: int) -> None:
        """Saves a version of the agent, all at once as editors do."""
        self.write_text(AGENTS.format(number=number))

    def write_text(self, text: str) -> None:
        """Saves any text."""
        new = self._file.with_suffix(".new")
        new.write_text(text)
        os.utime(new, (SAVED, SAVED))
        new.rename(self._file)

    def sees(self, text: str, times: int = 1) -> None:
        """Waits until the command has printed this."""
        wait_blocking(lambda: self._log.read_text().count(text) >= times, within=30, why=f"prints {text!r}")


@pytest.fixture
def developer(tmp_path: Path, valkey: ValkeyServer, request: pytest.FixtureRequest) -> Iterator[Developer]:
    """Someone who works on agents.py with the command running beside, with the options of the test."""
    developer = Developer(tmp_path, valkey, getattr(request, "param", ()))
    yield developer
    if developer.process.poll() is None:
        developer.process.kill()
    developer.process.wait()


async def test_a_change_is_served(developer: Developer, service: Service) -> None:
    """The next task is answered by the new code."""
    developer.sees("up to 1 tasks")
    await service.send()
    assert (await service.ending())["result"]["response"] == "1"
    developer.write(2)
    developer.sees("agents.py changed: starting again.")
    developer.sees("up to 2 tasks")
    await service.send()
    assert (await service.ending())["result"]["response"] == "2"


def test_a_fault_waits_for_the_next_change(developer: Developer) -> None:
    """What cannot be imported is shown in one line; the command goes on, and so does its author."""
    developer.sees("up to 1 tasks")
    developer.write_text("worker = (")
    developer.sees("importing 'agents' failed: SyntaxError")
    developer.sees("ended with exit code 1; it starts again when a file changes")
    developer.write(3)
    developer.sees("up to 3 tasks")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_both(developer: Developer, service: Service, number: signal.Signals) -> None:
    """The worker ends as it would without --reload, and the command with its exit code."""
    await service.send()
    assert (await service.callback(30))["status"] == "running"
    (child,) = psutil.Process(developer.process.pid).children()
    developer.process.send_signal(number)

    assert developer.process.wait(30) == 0
    assert not child.is_running()


@pytest.mark.parametrize("developer", [("--stop-timeout", "3600")], indirect=True, ids=["patient"])
async def test_a_second_signal_does_not_wait(developer: Developer, service: Service) -> None:
    """It is passed on as well, and the exit code is the worker's; the options are those of the command."""
    await service.send("slow")
    assert (await service.callback(30))["status"] == "running"
    developer.process.send_signal(signal.SIGINT)
    developer.sees("worker_stopping")
    developer.process.send_signal(signal.SIGINT)

    assert (await service.ending())["result"]["error"]["code"] == "worker_stopped"
    assert developer.process.wait(30) == 130


def test_the_worker_does_not_outlive_the_command(developer: Developer) -> None:
    """Killed without a word, the command leaves nothing behind."""
    developer.sees("up to 1 tasks")
    (child,) = psutil.Process(developer.process.pid).children()
    developer.process.kill()
    developer.process.wait()

    wait_blocking(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, within=30)


async def test_what_does_not_end_is_killed(tmp_path: Path) -> None:
    """An agent that blocks its process keeps its author neither from the next version nor from the end."""
    starts, said = tmp_path / "starts", list[str]()
    command = [sys.executable, "-c", STUBBORN, str(starts)]
    reloader = Reloader(command, tmp_path, said.append, patience=0.1)
    run = asyncio.create_task(reloader.keep())
    await wait_until(lambda: starts.exists() and starts.read_text() == "x", within=30)
    (tmp_path / "agents.py").write_text("")
    await wait_until(lambda: starts.read_text() == "xx", within=30)

    assert said == ["agents.py changed: starting again.", "The worker does not end: killed."]
    for _ in range(3):
        reloader.stop()
        await asyncio.sleep(0)
    assert await run == -signal.SIGKILL


def test_a_target_is_checked_at_once() -> None:
    """What no change of a file can mend is wrong use."""
    command = [sys.executable, "-m", "orchestrator", "worker", "agents", "--reload"]
    done = subprocess.run(command, env=base_environment(), capture_output=True, text=True, check=False)

    assert "not of the form MODULE:WORKER" in done.stderr
    assert done.returncode == 2
