"""Real servers for tests: Valkey, and the Orchestrator as its own process; and how to wait for them."""

import asyncio
import inspect
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from orchestrator.embedded import ValkeyServer
from orchestrator.tether import tethered

SOURCE: Final = Path(__file__).resolve().parent.parent / "src"

# Nothing a test writes has to outlive it, and a test may hold the server up or look into it.
_FOR_TESTS: Final[Mapping[str, str]] = {
    "appendonly": "no",
    "enable-debug-command": "local",
    "proto-max-bulk-len": "16mb",
}
_CLUSTER: Final[Mapping[str, str]] = {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf"}


def free_port() -> int:
    """A TCP port of the loopback that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def wait_until(condition: Callable[[], object | Awaitable[object]], within: float = 5.0) -> None:
    """Returns as soon as `condition()` (or what it awaits) is true; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, f"not true in {within} s: {inspect.getsource(condition).strip()}"
        await asyncio.sleep(0.01)


def wait_blocking(condition: Callable[[], object], within: float = 5.0, why: str = "condition") -> None:
    """`wait_until` for code that is not asynchronous."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{why}: not true within {within} s"
        time.sleep(0.01)


@contextmanager
def valkey_server(
    directory: Path, *, cluster: bool = False, options: Mapping[str, str] | None = None
) -> Generator[ValkeyServer]:
    """A Valkey on a loopback port of its own; with `cluster`, one node that holds every slot.

    `.url` is the REDIS_URL (`redis+cluster://…` for a cluster); tests of faults use `.kill()` and `.start()`.
    """
    server = ClusterServer(directory, options or {}) if cluster else _single(directory, options or {})
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _single(directory: Path, options: Mapping[str, str]) -> ValkeyServer:
    return ValkeyServer(directory, port=free_port(), options={**_FOR_TESTS, **options})


class ClusterServer(ValkeyServer):
    """A cluster of one node: enough to catch a script that reaches into another slot."""

    def __init__(self, directory: Path, options: Mapping[str, str]) -> None:
        # The node's bus listens 10 000 ports higher unless it is told where.
        everything = {**_FOR_TESTS, **_CLUSTER, "cluster-port": str(free_port()), **options}
        super().__init__(directory, port=free_port(), options=everything)

    @property
    def url(self) -> str:
        """What `REDIS_URL` is for this server."""
        return f"redis+cluster://127.0.0.1:{self.port}"

    def start(self, within: float = 30.0) -> None:
        """Starts it and returns once the cluster answers for every slot."""
        super().start(within)
        if "cluster_slots_assigned:0\r" in self._ask("CLUSTER INFO"):
            self._ask("CLUSTER ADDSLOTSRANGE 0 16383")
        wait_blocking(lambda: "cluster_state:ok" in self._ask("CLUSTER INFO"), within, "cluster_state:ok")

    def _ask(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(8192).decode()


class OrchestratorServer:
    """`orchestrator serve` as its own process on a free port."""

    def __init__(self, env: Mapping[str, str], log_path: Path, arguments: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self.log_path = log_path
        self._command = [sys.executable, "-m", "orchestrator", "serve", *arguments]
        self._env = base_environment() | {"ORCHESTRATOR_PORT": str(self.port)} | dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """`ws://host:port`, without a slash at the end."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def log(self) -> str:
        """Everything it has written to its output so far."""
        return self.log_path.read_text(errors="replace")

    def start(self, within: float = 20.0) -> Self:
        """Starts it and returns once `/health/ready` says so."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                tethered(self._command, signal.SIGKILL), env=self._env, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + within
        while not self.ready():
            assert self._process.poll() is None, f"the server ended:\n{self.log}"
            assert time.monotonic() < deadline, f"the server did not get ready:\n{self.log}"
            time.sleep(0.02)
        return self

    def ready(self) -> bool:
        """Whether `/health/ready` answers 200 now."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, within: float = 40.0) -> int:
        """SIGTERM, then waits; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop within {within} s:\n{self.log}") from None

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self.process.wait()


def base_environment() -> dict[str, str]:
    """What a child process needs of ours, and none of the settings that the developer has set."""
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}


@contextmanager
def orchestrator_server(
    env: Mapping[str, str], log_path: Path, arguments: tuple[str, ...] = ()
) -> Generator[OrchestratorServer]:
    """A ready server with `env` as its settings (`REDIS_URL`, `DATABASE_URL`, `ORCHESTRATOR_…`).

    Its output is collected in `log_path`. It is stopped at the end unless the test has done so.
    """
    server = OrchestratorServer(env, log_path, arguments)
    try:
        yield server.start()
    finally:
        if server.process.poll() is None:
            server.kill()
