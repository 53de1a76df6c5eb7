"""Many tenants, each with sockets of its own, on services whose costs are measured."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import httpx
from tests.servers import OrchestratorServer, base_environment, orchestrator_server, valkey_server, wait_until

from benchmarks.deployment import cpu_seconds, pin
from benchmarks.load.sockets import Viewer
from benchmarks.peers.running import LOAD_CORE, SERVICE_CORE
from benchmarks.valkey import OPTIONS
from orchestrator.embedded import ValkeyServer

TIER: Final = "enterprise"
AGENT: Final = "agent-bench"
AT_ONCE: Final = 50


class Ground(NamedTuple):
    """Services that believe everybody, and their Valkey."""

    services: Sequence[OrchestratorServer]
    valkey: ValkeyServer

    def cpu(self) -> tuple[float, float]:
        """Seconds so far, of the services together and of Valkey."""
        services = sum(cpu_seconds(service.process.pid) for service in self.services)
        return services, cpu_seconds(self.valkey.pid)


class Micros(NamedTuple):
    """CPU each, µs."""

    service: float
    valkey: float


_NOTHING: Final = Micros(0, 0)


class Watch:
    """The CPU from here to `each`."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._cpu = ground.cpu()
        self._began = time.perf_counter()

    def each(self, count: float, *, idle: Micros = _NOTHING) -> Micros:
        """Of so many, without what each second costs anyway."""
        seconds = time.perf_counter() - self._began
        used = zip(self._ground.cpu(), self._cpu, idle, strict=True)
        return Micros(*(((now - then) * 1e6 - anyway * seconds) / count for now, then, anyway in used))


async def idle(ground: Ground, seconds: float = 8) -> Micros:
    """What a second costs while nothing is asked."""
    watch = Watch(ground)
    await asyncio.sleep(seconds)
    return watch.each(seconds)


@contextmanager
def ground(
    *, services: int = 1, cluster: bool = False, settings: Mapping[str, str] | None = None
) -> Generator[Ground]:
    """So many services on a Valkey of their own that writes to disk; `settings` by the names of their variables."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(valkey_server(folder, cluster=cluster, options=OPTIONS))
        environment = {
            **base_environment(),
            "REDIS_URL": valkey.url,
            "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false",
            "ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": "20000",
            "ORCHESTRATOR_LOG_LEVEL": "WARNING",
            **(settings or {}),
        }
        started = [
            stack.enter_context(orchestrator_server(environment, folder / f"service-{number}.log"))
            for number in range(services)
        ]
        pin(valkey.pid, LOAD_CORE)
        for service in started:
            pin(service.process.pid, SERVICE_CORE)
        yield Ground(started, valkey)


async def follow(
    service: OrchestratorServer, sessions: Sequence[tuple[str, str]], position: str = ""
) -> list[Viewer]:
    """Sockets of these sessions, each a tenant and a name."""
    resume = f"&position={position}" if position else ""
    viewers = [
        Viewer(f"/ws/{session}?tenant_id={tenant}&tier={TIER}{resume}", lambda _: None)
        for tenant, session in sessions
    ]
    for start in range(0, len(viewers), AT_ONCE):
        await asyncio.gather(*(_open(service, viewer) for viewer in viewers[start : start + AT_ONCE]))
    return viewers


async def _open(service: OrchestratorServer, viewer: Viewer) -> None:
    await asyncio.get_running_loop().create_connection(lambda: viewer, "127.0.0.1", service.port)
    await viewer.opened


async def begin(service: OrchestratorServer, sessions: Sequence[tuple[str, str]]) -> list[str]:
    """A message in each session; the ids of the tasks."""
    found: list[str] = []
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
        for start in range(0, len(sessions), AT_ONCE):
            found += await asyncio.gather(*(_send(http, *each) for each in sessions[start : start + AT_ONCE]))
    return found


async def _send(http: httpx.AsyncClient, tenant: str, session: str) -> str:
    headers = {"X-Tenant-ID": tenant, "X-Tenant-Tier": TIER, "X-Agent-ID": AGENT, "X-Session-ID": session}
    answer = await http.post("/api/chat/send", headers=headers, json={"message": "hello", "timeout": 3000})
    answer.raise_for_status()
    return str(answer.json()["task_id"])


def callbacks(tenant: str) -> str:
    """The queue on which a tenant's agents report."""
    return f"orchestrator:{tenant}:callbacks"


async def until(done: Callable[[], object | Awaitable[object]]) -> None:
    """Return once `done()` is true."""
    await wait_until(done, within=120)
