"""A process of the experiment that may be killed, frozen and started again."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.servers import SOURCE, base_environment

from orchestrator.tether import tethered

AGENTS: Final = "FAULTS_AGENTS"
"""The variable that tells a worker of the SDK whose tasks are its own, separated by commas."""
QUEUES: Final = "FAULTS_QUEUES"
"""The variable that tells a plain agent its queues, separated by commas."""


class Child:
    """A Python module as a process; its output is collected in `log_path`."""

    def __init__(self, module: Sequence[str], env: Mapping[str, str], log_path: Path) -> None:
        self._command = [sys.executable, "-m", *module]
        self._env = base_environment() | dict(env)
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, from the folder in which `tests` lies."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                tethered(self._command, signal.SIGKILL),
                cwd=SOURCE.parent,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """A signal to it, if it lives."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self, within: float = 90.0) -> None:
        """SIGTERM, and gone when this returns; `subprocess.TimeoutExpired` where it does not go."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(within)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns; a frozen one as well."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
