"""Child processes are kept running, given up when that is no use, and stopped in order and in time."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from tests.servers import base_environment, wait_until

from orchestrator.supervisor import IMPATIENCE, MAX_QUICK_DEATHS, Child, ChildFailedError, Supervisor

# Says that it runs; on SIGTERM it takes its time, logs its name and ends, or stays.
OBEDIENT = """
import signal, sys, time
def told(*_):
    print("told", flush=True)
    if sys.argv[3] == "stays": return
    time.sleep(float(sys.argv[3]))
    with open(sys.argv[1], "a") as log: log.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, told)
print("runs", flush=True)
while True: time.sleep(60)
"""


def child(source: str, *arguments: str, name: str = "The child", stop_within: float = 10) -> Child:
    """A Python program as a child whose output we see."""
    return Child(
        name=name,
        command=(sys.executable, "-c", source, *arguments),
        environment=base_environment(),
        stop_within=stop_within,
        relayed=True,
    )


class Said(list[str]):
    """What the supervisor told its user."""

    def __call__(self, line: str) -> None:
        self.append(line)


@asynccontextmanager
async def supervising(said: Said | None = None) -> AsyncGenerator[Supervisor]:
    """A supervisor that leaves nothing behind."""
    supervisor = Supervisor(said if said is not None else Said())
    try:
        yield supervisor
    finally:
        await supervisor.stop(together=True)


def children() -> list[psutil.Process]:
    """The programs of these tests that have not ended."""
    below = [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in below if OBEDIENT in process.cmdline()]


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """A killed child is replaced by another process, and the user reads what happened."""
    said = Said()
    async with supervising(said) as supervisor:
        keeper = supervisor.start(child(OBEDIENT, str(tmp_path / "log"), "child", "0"))
        await wait_until(lambda: keeper.last_lines == "runs")
        keeper.kill()
        await wait_until(lambda: keeper.last_lines == "runs\nruns")
    assert said == ["The child was ended by SIGKILL; starting it again"]


async def test_a_child_that_cannot_run_is_given_up() -> None:
    """After five quick deaths nothing is tried any more; the error ends with the child's last lines."""
    said = Said()
    async with supervising(said) as supervisor:
        supervisor.start(child("print('no way'); raise SystemExit(7)"))
        with pytest.raises(ChildFailedError, match=r"The child ended with exit code 7(.|\n)*no way$"):
            await supervisor.wait()
    assert len(said) == MAX_QUICK_DEATHS - 1


async def test_a_settings_fault_is_not_tried_again() -> None:
    """Exit code 2 says that the settings are wrong; they will be wrong the next time too."""
    said = Said()
    async with supervising(said) as supervisor:
        supervisor.start(child("raise SystemExit(2)"))
        with pytest.raises(ChildFailedError, match="exit code 2"):
            await supervisor.wait()
    assert said == []


async def test_children_stop_in_order(tmp_path: Path) -> None:
    """The next one is told only when the one before has ended."""
    log = tmp_path / "log"
    async with supervising() as supervisor:
        for name, takes in (("server", "0.4"), ("worker", "0.2"), ("last", "0")):
            keeper = supervisor.start(child(OBEDIENT, str(log), name, takes))
            await wait_until(lambda keeper=keeper: keeper.last_lines == "runs")
        await supervisor.stop()
        assert children() == []
    assert log.read_text().split() == ["server", "worker", "last"]


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """SIGKILL follows SIGTERM after the child's time."""
    said = Said()
    async with supervising(said) as supervisor:
        keeper = supervisor.start(child(OBEDIENT, str(tmp_path / "log"), "deaf", "stays", stop_within=0.2))
        await wait_until(lambda: keeper.last_lines == "runs")
        await supervisor.stop()
        assert children() == []
    assert said == ["The child did not stop within 0.2 s: killed"]


async def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """The first Ctrl-C ends the wait, a second one, if it is no copy, kills what is still there."""
    async with supervising() as supervisor:
        supervisor.listen_for_signals()
        keeper = supervisor.start(child(OBEDIENT, str(tmp_path / "log"), "deaf", "stays", stop_within=60))
        await wait_until(lambda: keeper.last_lines == "runs")
        os.kill(os.getpid(), signal.SIGINT)
        await supervisor.wait()
        stopping = asyncio.create_task(supervisor.stop())
        await wait_until(lambda: keeper.last_lines == "runs\ntold")
        os.kill(os.getpid(), signal.SIGINT)  # the shell's copy of the first
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(stopping), IMPATIENCE)

        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stopping, 5)
        assert children() == []
