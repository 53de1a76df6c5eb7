"""A peer that runs: its server on one core, its agent, if it has one, on the other."""

import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGKILL
from typing import Final, NamedTuple

from tests.servers import base_environment

from benchmarks.peers.homes import LeftOutError
from benchmarks.peers.peer import Peer
from orchestrator.tether import tethered

SERVICE_CORE: Final = 0
LOAD_CORE: Final = 1
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0

Process = subprocess.Popen[bytes]


class Running(NamedTuple):
    """What can be measured of a peer."""

    peer: Peer
    port: int
    pid: int
    """Of the server, a single process."""
    agent_pid: int | None
    log: Path
    """What both print."""


@contextmanager
def running(peer: Peer, redis_url: str, port: int, log: Path) -> Generator[Running]:
    """A peer that answers; `LeftOutError` where this machine cannot have it."""
    peer.home.prepare()
    environment = {
        **base_environment(),
        **peer.environment,
        "REDIS_URL": redis_url,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "NODE_ENV": "production",
    }
    command = [part.format(port=port) for part in peer.command]
    with ExitStack() as stack:
        server = stack.enter_context(_process(peer, command, environment, log, SERVICE_CORE))
        _wait(server, log, lambda: _answers(f"http://127.0.0.1:{port}{peer.ready}"))
        agent: Process | None = None
        if peer.agent:
            agent = stack.enter_context(_process(peer, peer.agent, environment, log, LOAD_CORE))
            _wait(agent, log, lambda: "ready" in log.read_text(errors="replace").splitlines())
        yield Running(peer, port, server.pid, agent.pid if agent else None, log)


def pin(pid: int, core: int) -> None:
    """Keeps a process, and what it starts from now on, on one core, if there is that one and the system can."""
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(pid, {core})


@contextmanager
def _process(
    peer: Peer, command: Sequence[str], environment: Mapping[str, str], log: Path, core: int
) -> Generator[Process]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            tethered([peer.home.program, *command], SIGKILL),
            cwd=peer.home.folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    pin(process.pid, core)  # at once: threads that are there already would stay where they are
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: Process) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: Process, log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise LeftOutError(f"it did not start: {''.join(last)[:300]}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False
