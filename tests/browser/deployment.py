"""The demo as `orchestrator dev` runs it, with a server that a test may kill."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers import OrchestratorServer, base_environment, orchestrator_server, valkey_server

from orchestrator.embedded import load_demo
from orchestrator.settings import Settings
from orchestrator.store.store import Store
from orchestrator.tether import tethered


@contextmanager
def deployment(directory: Path, settings: Mapping[str, str] | None = None) -> Generator[OrchestratorServer]:
    """A ready server of the demo; Valkey, database and worker live in `directory` and stay when it dies.

    `settings` are variables of the environment that differ from the demo's.
    """
    with ExitStack() as stack:
        valkey = stack.enter_context(valkey_server(directory / "valkey"))
        environment = {
            "REDIS_URL": valkey.url,
            "DATABASE_URL": f"sqlite+aiosqlite:///{directory / 'orchestrator.db'}",
            **(settings or {}),
        }
        asyncio.run(load_demo(Settings.from_environment(environment)))
        asyncio.run(_add_agent_without_worker(environment["DATABASE_URL"]))
        stack.enter_context(_demo_worker(environment, directory / "worker.log"))
        yield stack.enter_context(orchestrator_server(environment, directory / "server.log"))


async def _add_agent_without_worker(database_url: str) -> None:
    async with Store(database_url) as store:
        await store.create_context("tenant-456", "agent", "agent-nobody")


@contextmanager
def _demo_worker(environment: dict[str, str], log_path: Path) -> Generator[None]:
    command = [sys.executable, "-m", "orchestrator", "worker", "orchestrator.demo:worker"]
    settings = base_environment() | environment
    with log_path.open("wb") as log:
        worker = subprocess.Popen(tethered(command, signal.SIGKILL), env=settings, stdout=log, stderr=log)
        try:
            yield
        finally:
            worker.kill()
            worker.wait()
