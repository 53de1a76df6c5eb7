"""A worker as a process of its own, which can be killed and frozen."""

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import base_environment

from orchestrator.embedded import ValkeyServer

AGENTS = """
import asyncio
from orchestrator.worker import AgentWorker

worker = AgentWorker(concurrency=4, chunk_interval=0)

@worker.agent("agent-123")
async def answer(task):
    yield "first "
    if task.message == "stay" and task.attempt == 1:
        await asyncio.Event().wait()
    yield f"of attempt {task.attempt}"
"""


class WorkerProcess:
    """`orchestrator worker` with an agent that stays at its first attempt of a task `stay`."""

    def __init__(self, directory: Path, valkey: ValkeyServer, lease: float, name: str = "worker") -> None:
        (directory / "agents.py").write_text(AGENTS)
        self._log = directory / f"{name}.log"
        environment = {"REDIS_URL": valkey.url, "ORCHESTRATOR_LEASE": str(lease)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "worker", "agents:worker"],
                cwd=directory,
                env=base_environment() | environment | {"ORCHESTRATOR_LOG_FORMAT": "json"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing more, and holds on to what it has."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on as if nothing had been."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self._process.kill()
        self._process.wait()


@contextmanager
def worker_process(
    directory: Path, valkey: ValkeyServer, *, lease: float = 1, name: str = "worker"
) -> Generator[WorkerProcess]:
    """Runs one for the length of the block, unless the test kills it before."""
    process = WorkerProcess(directory, valkey, lease, name)
    try:
        yield process
    finally:
        process.kill()
