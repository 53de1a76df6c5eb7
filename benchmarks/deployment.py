"""One service with its own Valkey and SQLite, for measuring: started here, ended here."""

import asyncio
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import OrchestratorServer, base_environment, orchestrator_server

from orchestrator.embedded import EmbeddedValkey, load_demo
from orchestrator.settings import Settings


class Measured:
    """What is measured: the service's and Valkey's processes."""

    def __init__(
        self, service: OrchestratorServer, service_pid: int, valkey_pid: int, redis_url: str
    ) -> None:
        self.service = service
        self.redis_url = redis_url
        self._pids = {"service": service_pid, "valkey": valkey_pid}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU that each process used so far, by the kernel's accounting."""
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}


def cpu_seconds(pid: int) -> float:
    """CPU that a process used so far, by the kernel's accounting."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def deployment(settings: Mapping[str, str] | None = None) -> Generator[Measured]:
    """A running service with the demo tenant and no limits in the way; `settings` by the names of their variables."""
    with TemporaryDirectory() as folder, EmbeddedValkey(Path(folder)) as valkey:
        limits = {
            "professional": {
                "requests_per_minute": 1_000_000_000,
                "max_outstanding": 1_000_000,
                "max_connections": 1_000_000,
            }
        }
        environment = {
            **base_environment(),
            "REDIS_URL": valkey.url,
            "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/orchestrator.db",
            "ORCHESTRATOR_MAX_REQUESTS_PER_SESSION": "0",
            "ORCHESTRATOR_TIER_LIMITS": json.dumps(limits),
            "ORCHESTRATOR_LOG_LEVEL": "WARNING",
            **(settings or {}),
        }
        asyncio.run(load_demo(Settings.from_environment(environment)))
        with orchestrator_server(environment, Path(folder) / "service.log") as service:
            yield Measured(service, service.process.pid, valkey.pid, valkey.url)
