"""`orchestrator worker MODULE:WORKER` as a process (contract §8, §9)."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers import base_environment, wait_until
from tests.worker.service import Service

from orchestrator.embedded import ValkeyServer

AGENTS = """
import asyncio
from orchestrator.worker import AgentWorker

worker = AgentWorker(stop_timeout=float({limit!r}))
empty = AgentWorker()
other = 7

@worker.agent("agent-123")
async def answer(task):
    yield "half "
    await asyncio.sleep(float(task.message))
    yield "whole"
"""

STUBBORN = """
import asyncio
from orchestrator.worker import AgentWorker

worker = AgentWorker(stop_timeout=0.1, cancel_timeout=0.1)

@worker.agent("agent-123")
async def stay(task):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, valkey: ValkeyServer) -> Iterator[Start]:
    """Starts the command beside a module `agents` of a user."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str, limit: float = 10, **environment: str) -> subprocess.Popen[str]:
        (tmp_path / "agents.py").write_text(AGENTS.format(limit=limit))
        (tmp_path / "stubborn.py").write_text(STUBBORN)
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "worker", *arguments],
            cwd=tmp_path,
            env=base_environment() | {"REDIS_URL": valkey.url} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("agents", "not of the form MODULE:WORKER"),
        ("nowhere:worker", "no module 'nowhere'"),
        ("agents.deep:worker", "no module 'agents.deep'"),
        ("agents:nobody", "has no 'nobody'"),
        ("agents:other", "of type int, not AgentWorker"),
        ("agents:empty", "serves nothing"),
    ],
)
def test_wrong_use(start: Start, target: str, complaint: str) -> None:
    """What cannot be run ends with exit code 2 and says why."""
    process = start(target)
    _, errors = process.communicate(timeout=30)

    assert complaint in errors
    assert process.returncode == 2
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("raise LookupError('no such luck')", "LookupError: no such luck ({}:3)"),
        ("agents.worker.agent('x')(print)", "TypeError: an agent is an `async def` function ({}:3)"),
        ("raise (", "SyntaxError: '(' was never closed (broken.py, line 3)"),
    ],
    ids=["by itself", "by the SDK", "cannot be read"],
)
def test_a_module_that_fails_to_import(start: Start, tmp_path: Path, line: str, fault: str) -> None:
    """A fault of the user's own module ends with exit code 1 and the user's line where it happened."""
    (tmp_path / "broken.py").write_text(f"import agents\n\n{line}\n")
    process = start("broken:worker")
    _, errors = process.communicate(timeout=30)

    assert errors.endswith(f"{fault.format(tmp_path / 'broken.py')}\n")
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ORCHESTRATOR_LOG_FORMAT", "prose", "one of text, json"),
        ("ORCHESTRATOR_LEASE", "nan", "a number of seconds from 0.1 to 3600"),
        ("ORCHESTRATOR_LEASE", "0", "a number of seconds from 0.1 to 3600"),
    ],
)
def test_bad_settings(start: Start, name: str, value: str, allowed: str) -> None:
    """The worker reads the settings of the service, and refuses bad ones as it does."""
    process = start("agents:worker", **{name: value})
    _, errors = process.communicate(timeout=30)

    assert any(name in line and allowed in line for line in errors.splitlines())
    assert "Traceback" not in errors
    assert process.returncode == 2


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_task_end(
    start: Start, service: Service, signal_number: signal.Signals
) -> None:
    """SIGTERM and Ctrl-C in the middle of a task: it is answered whole, exit code 0."""
    process = start("agents:worker", "--concurrency", "3", ORCHESTRATOR_LOG_FORMAT="json")
    await service.send("0.3")
    assert [(await service.callback(20))["status"] for _ in range(2)] == ["running", "streaming"]
    process.send_signal(signal_number)

    assert (await service.ending())["result"]["response"] == "half whole"
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert output == "Serving agent-123; up to 3 tasks at a time.\n"
    assert '"event":"agent_started"' in errors
    assert "half" not in errors


async def test_a_signal_has_its_limit(start: Start, service: Service) -> None:
    """A task that does not end within `stop_timeout` is failed with `worker_stopped`."""
    process = start("agents:worker", limit=0.2)
    await service.send("60")
    assert [(await service.callback(20))["status"] for _ in range(2)] == ["running", "streaming"]
    process.terminate()

    assert (await service.ending())["result"]["error"]["code"] == "worker_stopped"
    process.communicate(timeout=20)
    assert process.returncode == 0


async def test_the_limit_of_the_command_line_wins(start: Start, service: Service) -> None:
    """`--stop-timeout` takes the place of the `stop_timeout` of the file."""
    process = start("agents:worker", "--stop-timeout", "0.2", limit=60)
    await service.send("60")
    assert [(await service.callback(20))["status"] for _ in range(2)] == ["running", "streaming"]
    process.terminate()

    assert (await service.ending())["result"]["error"]["code"] == "worker_stopped"
    process.communicate(timeout=20)
    assert process.returncode == 0


async def test_an_agent_that_ignores_everything_does_not_keep_it(start: Start, service: Service) -> None:
    """An agent that was abandoned goes on, but the process ends all the same."""
    process = start("stubborn:worker")
    await service.send()
    assert (await service.callback(20))["status"] == "running"
    process.terminate()

    assert (await service.ending())["result"]["error"]["code"] == "worker_stopped"
    process.communicate(timeout=20)
    assert process.returncode == 0


async def test_a_second_ctrl_c_does_not_wait(start: Start, service: Service) -> None:
    """Whoever presses Ctrl-C twice wants it to end now; the task is failed all the same."""
    process = start("agents:worker", limit=60)
    await service.send("60")
    assert [(await service.callback(20))["status"] for _ in range(2)] == ["running", "streaming"]
    process.send_signal(signal.SIGINT)
    stopping = iter(process.stderr or ())
    assert any("worker_stopping" in line for line in stopping)
    process.send_signal(signal.SIGINT)

    assert (await service.ending())["result"]["error"]["code"] == "worker_stopped"
    await wait_until(lambda: process.poll() is not None, within=20)
    assert process.returncode == 130
