"""What peers cost that give nothing back: memory of the service for each kind, and how soon it is free again.

The peers are of this machine and far more than one address may be otherwise: loopback is a trusted proxy by default.
"""

import json
import statistics
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Self

import httpx
import redis
from tests.security.hostile_peers import Hostile, Watched, crowd, kernel_memory, kinds, mixed

from benchmarks.deployment import Measured, allow_files, deployment
from benchmarks.measures import CALLBACKS, TENANT
from orchestrator.embedded import DEMO_TENANT

EACH = 300
TOGETHER = 5_000
SESSION = "hostile"
SETTINGS = {
    "ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": str(TOGETHER),
    "ORCHESTRATOR_WEBSOCKET_PING_INTERVAL": "10",
    "ORCHESTRATOR_WEBSOCKET_PING_TIMEOUT": "5",
}
GONE_WITHIN = 90
KIB, MIB = 1024, 1024 * 1024


def run() -> None:
    """Print a table by kind, then what all together do."""
    allow_files(3 * TOGETHER)
    found = kinds(SESSION, DEMO_TENANT, "professional")
    print(f"{'kind':<24}{'KiB of memory each':>20}{'KiB in the kernel each':>24}")
    for kind in found:
        with deployment(SETTINGS) as measured:
            memory, kernel = _cost(measured, [kind] * EACH)
            print(f"{kind.name:<24}{memory / EACH / KIB:>20.1f}{kernel / EACH / KIB:>24.1f}", flush=True)
    with deployment(SETTINGS) as measured:
        before = Watched(measured.service.process.pid).memory
        for _ in range(2):
            _together(measured, mixed(found, TOGETHER), before)


def _cost(measured: Measured, peers: Sequence[Hostile]) -> tuple[int, int]:
    """The most that these take of the service's memory and of the kernel's, within the first seconds."""
    watched = Watched(measured.service.process.pid)
    memory, kernel = watched.memory, kernel_memory()
    with _streaming(measured), _Peak(watched) as peak, crowd(measured.service.port, peers):
        time.sleep(3)
    return peak.memory - memory, peak.kernel - kernel


def _together(measured: Measured, peers: Sequence[Hostile], before: int) -> None:
    """What so many do, who hold on for as long as they can; the second time shows what the first has left."""
    watched = Watched(measured.service.process.pid)
    descriptors = watched.descriptors
    with _streaming(measured), _Peak(watched) as peak, _Probe(measured.service.port) as probe:
        began = time.monotonic()
        with crowd(measured.service.port, peers):
            connected = time.monotonic()
            while watched.descriptors > descriptors + 10 and time.monotonic() - connected < GONE_WITHIN:
                time.sleep(0.1)
            gone, left = time.monotonic() - connected, max(0, watched.descriptors - descriptors - 10)
    quantiles = statistics.quantiles(probe.took, n=100)
    print(
        f"{len(peers)} of all kinds, everything said in {connected - began:.1f} s: at most"
        f" {(peak.memory - before) / MIB:.0f} MiB of memory, {peak.kernel / MIB:.0f} MiB in the kernel; after"
        f" {gone:.0f} s {left} are left, and {(watched.memory - before) / MIB:.0f} MiB; /health/live"
        f" p50 {quantiles[49]:.1f} ms, p99 {quantiles[98]:.1f} ms, {probe.failed} of {len(probe.took)} failed"
    )


@contextmanager
def _streaming(measured: Measured) -> Generator[None]:
    """While an agent reports much on the session that some of them follow."""
    headers = {**TENANT, "X-Session-ID": SESSION}
    answer = httpx.post(f"{measured.service.url}/api/chat/send", headers=headers, json={"message": "hello"})
    report = {"task_id": answer.json()["task_id"], "status": "progress", "result": {"pad": "x" * 64 * KIB}}
    over = threading.Event()

    def reporting() -> None:
        with redis.Redis.from_url(measured.redis_url) as agent:  # pyright: ignore[reportUnknownMemberType]
            while not over.wait(0.1):
                agent.lpush(CALLBACKS, json.dumps(report))

    thread = threading.Thread(target=reporting)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Peak(threading.Thread):
    """The most of some figures while the block runs."""

    def __init__(self, watched: Watched) -> None:
        super().__init__(daemon=True)
        self._watched = watched
        self._over = threading.Event()
        self.memory = self.kernel = 0

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.memory = max(self.memory, self._watched.memory)
            self.kernel = max(self.kernel, kernel_memory())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


class _Probe(threading.Thread):
    """Asks for /health/live ten times a second, as an orchestrator of containers would; milliseconds of each."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._over = threading.Event()
        self.took: list[float] = []
        self.failed = 0

    def run(self) -> None:
        while not self._over.wait(0.1):
            began = time.monotonic()
            try:
                connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("GET", "/health/live")
                self.failed += connection.getresponse().status != 200
                connection.close()
            except OSError:
                self.failed += 1
            self.took.append((time.monotonic() - began) * 1000)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
