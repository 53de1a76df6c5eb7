"""Python imports this before anything else: `time.time` is wrong by as many seconds as a file says, once it says so.

Only the experiments put this folder on the path of a replica, and name the file in FAULTS_CLOCK.
"""

import os
import time
from pathlib import Path
from typing import Final

_real: Final = time.time
_LOOK_EVERY: Final = 0.05


class _WrongClock:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._looked = 0.0
        self._ahead = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY:
            self._looked = now
            self._ahead = float(self._file.read_text() or 0) if self._file.exists() else 0.0
        return _real() + self._ahead


if "FAULTS_CLOCK" in os.environ:
    time.time = _WrongClock(Path(os.environ["FAULTS_CLOCK"]))
