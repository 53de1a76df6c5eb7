"""How the service runs: it drains before it stops, ends with 0, and says in one line why it cannot start."""

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from tests.servers import base_environment, free_port, orchestrator_server, wait_blocking

from orchestrator.embedded import ValkeyServer
from orchestrator.listener import PortTakenError, listen
from orchestrator.supervisor import IMPATIENCE

TINY_SERVICE = str(Path(__file__).with_name("tiny_service.py"))


class Service:
    """The tiny service as a process; its steps are the lines of its output."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def wait_for(self, step: str) -> None:
        """Reads its output up to this line."""
        assert self.process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] != step:
            line = self.process.stdout.readline()
            assert line, f"it ended before {step!r}: {lines}"
            lines.append(line.strip())

    def wait_until_up(self) -> None:
        """Returns when it answers; before that, the connection waits to be accepted."""
        self.wait_for("started")
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"http://127.0.0.1:{self.port}/", timeout=10)

    def ended(self, within: float = 15.0) -> tuple[int, str, str]:
        """Exit code, the rest of its output, its error output."""
        output, errors = self.process.communicate(timeout=within)
        return self.process.returncode, output, errors


@contextmanager
def tiny_service(mode: str = "plain", drain_timeout: float = 30) -> Generator[Service]:
    """Runs the tiny service until the end of the block, at most."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, TINY_SERVICE, str(port), mode],
        env=base_environment() | {"ORCHESTRATOR_DRAIN_TIMEOUT": str(drain_timeout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Service(process, port)
        finally:
            process.kill()


def test_a_stop_drains_first_and_ends_with_zero() -> None:
    """SIGTERM: the application drains while requests are still answered, then it is closed; exit code 0."""
    with tiny_service() as service:
        service.wait_for("started")
        asking = subprocess.Popen(
            ["curl", "-sS", f"http://127.0.0.1:{service.port}/slow"], stdout=subprocess.PIPE, text=True
        )
        service.wait_for("asked")
        service.process.terminate()

        assert asking.communicate(timeout=10)[0] == "answered"
        assert service.ended() == (0, "draining\nstopped\n", "")


def test_a_drain_has_its_time() -> None:
    """A drain that does not end is given up after ORCHESTRATOR_DRAIN_TIMEOUT, with a line that says so."""
    with tiny_service("endless-drain", drain_timeout=0.3) as service:
        service.wait_until_up()
        service.process.terminate()

        code, output, errors = service.ended()
        assert (code, output) == (0, "draining\nstopped\n")
        assert "drain" in errors


def test_a_second_signal_hurries() -> None:
    """Who asks again does not wait for the drain; what is open is closed all the same."""
    with tiny_service("endless-drain") as service:
        service.wait_until_up()
        service.process.terminate()
        service.wait_for("draining")
        told = time.monotonic()  # by now the server has taken the first one
        wait_blocking(lambda: time.monotonic() - told > IMPATIENCE, why="a person's second Ctrl-C")
        service.process.terminate()

        assert service.ended() == (0, "stopped\n", "")


def test_a_signal_that_comes_twice_is_one() -> None:
    """Shells and kernels send SIGTERM more than once: that is not impatience."""
    with tiny_service("endless-drain", drain_timeout=1) as service:
        service.wait_until_up()
        service.process.terminate()
        service.wait_for("draining")
        service.process.terminate()

        code, output, errors = service.ended()
        assert (code, output) == (0, "stopped\n")
        assert "the drain took longer than 1 s" in errors


def test_nothing_keeps_a_stopped_service() -> None:
    """A thread that never ends does not keep the process; where it stands is in the log."""
    with tiny_service("endless-thread") as service:
        service.wait_until_up()
        service.process.terminate()

        code, output, errors = service.ended(within=30)
        assert (code, output) == (1, "draining\nstopped\n")
        assert "threading.py" in errors


def test_a_stop_during_the_start_is_heard() -> None:
    """A service that still waits for its start to succeed ends at once when told to."""
    with tiny_service("slow-start") as service:
        service.wait_for("starting")
        service.process.terminate()

        assert service.ended() == (0, "", "")


def test_a_failed_start_says_why() -> None:
    """What the application's start raises is one line, without a traceback, and exit code 1."""
    with tiny_service("broken") as service:
        code, _, errors = service.ended()

        assert code == 1
        assert "Error: the schema is behind: run `orchestrator db upgrade`" in errors
        assert "Traceback" not in errors


def test_a_taken_port_says_whose_it_is() -> None:
    """The one line names the port, the process that has it and the way out."""
    with tiny_service() as service:
        service.wait_until_up()
        with pytest.raises(PortTakenError) as caught:
            listen("127.0.0.1", service.port)
        assert str(caught.value) == (
            f"port {service.port} on 127.0.0.1 is in use by process {service.process.pid}; "
            f"stop it (kill {service.process.pid}) or use --port {service.port + 1}"
        )


def test_workers_share_the_port(tmp_path: Path, valkey: ValkeyServer) -> None:
    """`--workers 2`: one that is killed is replaced, and a stop ends them all with exit code 0."""
    environment = {
        "REDIS_URL": valkey.url,
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.db'}",
        "ORCHESTRATOR_DRAIN_TIMEOUT": "2",
    }
    with orchestrator_server(environment, tmp_path / "log", ("--workers", "2")) as server:
        parent = psutil.Process(server.process.pid)

        def replicas() -> int:
            with urlopen(f"{server.url}/metrics/overview", timeout=5) as answer:  # noqa: S310
                return int(json.load(answer)["replicas"])

        wait_blocking(lambda: replicas() == 2, within=20, why="two replicas")
        first, second = parent.children()
        groups = {process.environ()["ORCHESTRATOR_WORKER_GROUP"] for process in (first, second)}
        assert len(groups) == 1

        first.kill()
        wait_blocking(lambda: "was ended by SIGKILL; starting it again" in server.log, why="it says so")
        wait_blocking(lambda: len(parent.children()) == 2, why="it is replaced")
        assert second in parent.children()
        wait_blocking(lambda: replicas() == 2, within=20, why="two replicas again")

        below = parent.children()
        assert server.stop() == 0
        assert not any(process.is_running() for process in below)
        assert "is not a setting" not in server.log
