"""`orchestrator dev` as a user meets it: one command, everything up; one Ctrl-C, nothing left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from tests.servers import base_environment, free_port, wait_blocking

from orchestrator.embedded import ValkeyServer

READY = "Ctrl-C stops everything."
STOPPED = "Stopped."


class Dev:
    """`orchestrator dev` on a free port, with its data below `folder`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.data = folder / "data"
        self._output = folder / f"dev-{self.port}.log"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                dev_command("--port", str(self.port), "--data", str(self.data)),
                env=base_environment() | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """Everything it has printed, its children's lines included."""
        return self._output.read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Returns once its output has `text`."""
        deadline = time.monotonic() + 60
        while self.output.count(text) < times:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def child(self, what: str) -> psutil.Process:
        """The child process that runs this command."""
        (found,) = self.children(what)
        return found

    def children(self, what: str) -> list[psutil.Process]:
        """Every child process that runs this command: none while it is replaced."""
        return [
            process
            for process in psutil.Process(self.process.pid).children()
            if re.search(rf"(/| ){what}( |$)", command_of(process))
        ]

    def ask(self, path: str) -> str:
        """The body of the service's answer."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read().decode()

    def interrupt(self) -> int:
        """Ctrl-C, then waits; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def command_of(process: psutil.Process) -> str:
    """Its command line; "" once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def dev_command(*arguments: str) -> list[str]:
    """Its command line."""
    return [sys.executable, "-m", "orchestrator", "dev", *arguments]


@contextmanager
def dev(folder: Path, **environment: str) -> Generator[Dev]:
    """A ready `orchestrator dev`; whatever the test does, nothing of it is left."""
    started = Dev(folder, **environment)
    try:
        started.wait_for(READY)
        yield started
    finally:
        below = psutil.Process(started.process.pid).children() if started.process.poll() is None else []
        started.process.kill()
        started.process.wait()
        for process in below:
            if process.is_running():
                process.kill()


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them is there any more."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_the_printed_line_works_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """The `curl` line is accepted and answered as printed; after Ctrl-C no process is left, exit code 0."""
    with dev(tmp_path) as running:
        (curl,) = re.findall(r"^ *Send +(curl .*)$", running.output, re.MULTILINE)
        sent = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=20, check=True)
        accepted = json.loads(sent.stdout)
        assert accepted["status"] == "queued"
        ledger = f"/api/chat/tasks/{accepted['task_id']}"
        curl_ledger = curl.replace("/api/chat/send", ledger).partition(" -d ")[0]

        def completed() -> bool:
            asked = subprocess.run(["sh", "-c", curl_ledger], capture_output=True, text=True, check=True)
            return json.loads(asked.stdout)["status"] == "completed"

        wait_blocking(completed, within=20, why="the demo worker answers")
        below = psutil.Process(running.process.pid).children(recursive=True)

        assert running.interrupt() == 0
        assert gone(below)
        assert STOPPED in running.output
        assert "Traceback" not in running.output


def test_what_is_printed_is_enough_to_go_on(tmp_path: Path) -> None:
    """The exports serve a second terminal, `Follow` shows what was sent, and Ctrl-C fails what is open."""
    with dev(tmp_path) as running:
        (exports,) = re.findall(r"^ *(export REDIS_URL=.*)$", running.output, re.MULTILINE)
        (follow,) = re.findall(r"^ *Follow +(curl .*)$", running.output, re.MULTILINE)
        (send,) = re.findall(r"^ *Send +(curl .*)$", running.output, re.MULTILINE)
        listing = f"{exports} && {sys.executable} -m orchestrator agents list --tenant tenant-456"
        for command in (listing, send.replace("agent-123", "agent-slow")):
            shown = subprocess.run(
                ["sh", "-c", command],
                env=base_environment(),
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            ).stdout
            assert "agent-slow" in shown or '"queued"' in shown
        with subprocess.Popen(["sh", "-c", f"exec {follow}"], stdout=subprocess.PIPE, text=True) as following:
            assert any('"status":"queued"' in line for line in following.stdout or ())
            following.terminate()

        assert running.interrupt() == 0
        assert "worker_abandoned" in running.output
        assert "did not stop within" not in running.output


def test_killed_parts_come_back(tmp_path: Path) -> None:
    """Server, worker and Valkey are each replaced; who connects while the server is away just waits."""
    with dev(tmp_path) as running:
        running.child("serve").kill()
        assert running.ask("/health/live")
        running.wait_for("The service was ended by SIGKILL; starting it again")

        running.child("orchestrator.demo:worker").kill()
        running.wait_for("The demo worker was ended by SIGKILL; starting it again")

        running.child("valkey-server").kill()
        running.wait_for("Valkey ended; starting it again")
        wait_blocking(lambda: running.children("valkey-server"), why="Valkey is back")

        assert running.interrupt() == 0


def test_a_second_start_says_what_is_in_its_way(tmp_path: Path) -> None:
    """The port's or the data's owner is named, with the way out, in one line; exit code 1."""
    with dev(tmp_path) as running:
        pid = running.process.pid

        def second(*arguments: str) -> tuple[int, str]:
            tried = subprocess.run(
                dev_command(*arguments),
                cwd=tmp_path,
                env=base_environment(),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            return tried.returncode, tried.stderr

        taken = f"port {running.port} on 127.0.0.1 is in use by process {pid}"
        way_out = f'stop it (kill {pid}) or make run ARGS="--port {running.port + 1}"'
        assert second("--port", str(running.port), "--data", "data2") == (1, f"Error: {taken}; {way_out}\n")
        there = f"already running here (process {pid}): http://127.0.0.1:{running.port}/ ."
        for port in (running.port, free_port()):
            again = f'For a second one: make run ARGS="--port {port + 1} --data data2"'
            assert second("--port", str(port), "--data", "data") == (1, f"Error: {there} {again}\n")
        assert running.interrupt() == 0


def test_a_redis_of_ones_own_is_used(tmp_path: Path, valkey_process: ValkeyServer) -> None:
    """With REDIS_URL set no Valkey is started."""
    with dev(tmp_path, REDIS_URL=valkey_process.url) as running:
        commands = [process.cmdline() for process in psutil.Process(running.process.pid).children()]
        assert len(commands) == 2
        assert running.interrupt() == 0
    assert not (tmp_path / "data" / "valkey").exists()


@pytest.mark.parametrize("setting", [{"ORCHESTRATOR_LEASE": "long"}, {"REDIS_URL": "http://redis"}])
def test_a_bad_setting_starts_nothing(tmp_path: Path, setting: dict[str, str]) -> None:
    """Settings are checked first: exit code 2, one line that names the variable, no data folder."""
    tried = subprocess.run(
        dev_command("--data", str(tmp_path / "data")),
        env=base_environment() | setting,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    (name,) = setting
    assert tried.returncode == 2
    assert tried.stderr.startswith(name)
    assert len(tried.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


if sys.platform == "linux":  # elsewhere nothing ties a child to its parent

    def test_nothing_outlives_a_killed_dev(tmp_path: Path) -> None:
        """SIGKILL of `orchestrator dev` takes its children along, and the data can be used again at once."""
        with dev(tmp_path) as running:
            below = psutil.Process(running.process.pid).children(recursive=True)
            os.kill(running.process.pid, signal.SIGKILL)
            running.process.wait(5)
            with dev(tmp_path) as again:
                wait_blocking(lambda: gone(below), within=10, why="its children are gone")
                assert again.interrupt() == 0
