"""Services with a Valkey and SQLite of their own, for measuring: started here, ended here."""

import asyncio
import json
import os
import random
import resource
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.servers import OrchestratorServer, base_environment, orchestrator_server

from benchmarks.valkey import running_valkey
from orchestrator.embedded import ValkeyServer, load_demo
from orchestrator.settings import Settings


class Measured:
    """What is measured: the service's and Valkey's processes."""

    def __init__(
        self, service: OrchestratorServer, service_pid: int, valkey_pid: int, redis_url: str
    ) -> None:
        self.service = service
        self.redis_url = redis_url
        self.valkey_pid = valkey_pid
        self._service_pid = service_pid

    @property
    def service_pids(self) -> tuple[int, ...]:
        """The service's process, with those that it has started."""
        return (self._service_pid, *_children(self._service_pid))

    def cpu_seconds(self) -> dict[str, float]:
        """CPU that each used so far, by the kernel's accounting."""
        return {
            "service": sum(map(cpu_seconds, self.service_pids)),
            "valkey": cpu_seconds(self.valkey_pid),
        }


class Ground(NamedTuple):
    """What services stand on."""

    folder: Path
    valkey: ValkeyServer
    environment: Mapping[str, str]


class Fleet:
    """Replicas of one deployment, and what a proxy in front of them would do."""

    def __init__(self, ground: Ground, stack: ExitStack) -> None:
        self.replicas: list[OrchestratorServer] = []
        self._ground = ground
        self._stack = stack
        self._started = 0

    def add(self) -> OrchestratorServer:
        """One more replica, ready."""
        self._started += 1
        log = self._ground.folder / f"service-{self._started}.log"
        self.replicas.append(self._stack.enter_context(orchestrator_server(self._ground.environment, log)))
        return self.replicas[-1]

    def pick(self) -> OrchestratorServer:
        """Any of them, for one request or socket."""
        return random.choice(self.replicas)


def cpu_seconds(pid: int) -> float:
    """CPU that a process used so far, by the kernel's accounting: to the nanosecond where it tells that by thread."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(text.split()[0]) for text in threads) / 1e9
    except FileNotFoundError:
        pass
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [grandchild for child in map(int, listed) for grandchild in (child, *_children(child))]


def pin(pid: int, core: int) -> None:
    """Let a process, with all its threads, run on this core only."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def allow_files(count: int) -> None:
    """As many open files as the system lets us have; services inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def ground(settings: Mapping[str, str] | None = None, below: Path | None = None) -> Generator[Ground]:
    """The demo tenant and no limits in the way; the data lies in a folder `below` that one, if it matters where."""
    with TemporaryDirectory(dir=below) as name, running_valkey(Path(name)) as valkey:
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
            "DATABASE_URL": f"sqlite+aiosqlite:///{name}/orchestrator.db",
            "ORCHESTRATOR_MAX_REQUESTS_PER_SESSION": "0",
            "ORCHESTRATOR_TIER_LIMITS": json.dumps(limits),
            "ORCHESTRATOR_LOG_LEVEL": "WARNING",
            **(settings or {}),
        }
        asyncio.run(load_demo(Settings.from_environment(environment)))
        yield Ground(Path(name), valkey, environment)


@contextmanager
def deployment(
    settings: Mapping[str, str] | None = None, below: Path | None = None, arguments: tuple[str, ...] = ()
) -> Generator[Measured]:
    """A running service; `settings` by the names of their variables, `arguments` of its command."""
    with (
        ground(settings, below) as (folder, valkey, environment),
        orchestrator_server(environment, folder / "service.log", arguments) as service,
    ):
        yield Measured(service, service.process.pid, valkey.pid, valkey.url)


@contextmanager
def fleet(replicas: int, settings: Mapping[str, str] | None = None) -> Generator[tuple[Fleet, ValkeyServer]]:
    """So many running replicas, and their Valkey."""
    with ground(settings) as stands_on, ExitStack() as stack:
        found = Fleet(stands_on, stack)
        for _ in range(replicas):
            found.add()
        yield found, stands_on.valkey
