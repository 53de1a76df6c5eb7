"""A service that stands alone on the first core, with everything else on the last, and what it costs."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import uvloop

from benchmarks.deployment import Measured, allow_files, deployment, pin
from benchmarks.load.agent import Redis, connect

MANY: Final = 30_000
SERVICE_CORE: Final = 0
_Found = TypeVar("_Found")
_OPEN: Final = {
    "ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": "20000",
    # Tenants need no records then: what is measured here does not depend on who checks them.
    "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false",
}


class Stand(NamedTuple):
    """A deployment, pinned, and a plain connection to its Redis."""

    measured: Measured
    redis: Redis

    @property
    def port(self) -> int:
        """Of the service."""
        return self.measured.service.port

    @property
    def service_pid(self) -> int:
        """Of the service."""
        return self.measured.service_pids[0]


class Cost(NamedTuple):
    """CPU seconds of both sides and of the clock."""

    service: float
    valkey: float
    seconds: float


class Meter:
    """What was spent since it was made."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._before = measured.cpu_seconds()
        self._began = time.perf_counter()

    def read(self) -> Cost:
        """Until now."""
        seconds, after = time.perf_counter() - self._began, self._measured.cpu_seconds()
        spent = {who: after[who] - self._before[who] for who in after}
        return Cost(spent["service"], spent["valkey"], seconds)


@contextmanager
def stood(settings: Mapping[str, str] | None = None) -> Generator[Measured]:
    """A running service on its own core; Valkey and this process have the other one."""
    allow_files(MANY)
    with deployment({**_OPEN, **(settings or {})}) as measured:
        place(measured.service_pids[0], service=True)
        place(measured.valkey_pid, service=False)
        place(os.getpid(), service=False)
        yield measured


def place(pid: int, *, service: bool) -> None:
    """On the core of what is measured, or on that of the rest; where there is one core only, anywhere."""
    last = (os.cpu_count() or 1) - 1
    pin(pid, SERVICE_CORE if service else last)


@asynccontextmanager
async def standing(measured: Measured) -> AsyncGenerator[Stand]:
    """The same within an event loop."""
    redis = await connect(socket_of(measured.redis_url))
    try:
        yield Stand(measured, redis)
    finally:
        redis.close()


def socket_of(redis_url: str) -> str:
    """The path of a Redis on a Unix socket."""
    return redis_url.removeprefix("unix://").partition("?")[0]


def run(work: Coroutine[Any, Any, _Found]) -> _Found:
    """Run it on the fastest loop: the load must not be what is measured."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def memory(pid: int) -> tuple[int, int]:
    """RSS and PSS of a process, in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return sizes["Rss"] * 1024, sizes["Pss"] * 1024
