"""Runs a command that must not outlive the process that started it.

`python tether.py PARENT SIGNAL COMMAND…` becomes COMMAND; when PARENT dies, even by SIGKILL, the
kernel sends it SIGNAL. It is a script of its own, and imports nothing of ours, because code between
`fork` and `exec` is unsafe in a process with threads. Linux only: elsewhere COMMAND just runs.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def tethered(command: Sequence[str], last_signal: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command line that runs `command` tied to this process.

    The kernel ties it to the *thread* that starts it, so start it from one that stays, the main one.
    """
    script = str(Path(__file__).resolve())
    return [sys.executable, "-I", "-S", script, str(os.getpid()), str(int(last_signal)), *command]


def main(arguments: Sequence[str]) -> None:
    """Ties this process to its parent and turns it into the command."""
    parent, last_signal, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(last_signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before the tie was made, and nobody would tell us
            return
    os.execv(command[0], command)  # noqa: S606 - this is the whole purpose


if __name__ == "__main__":
    main(sys.argv[1:])
