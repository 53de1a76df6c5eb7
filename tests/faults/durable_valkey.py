"""A Valkey that keeps its append-only file, and can be made to have forgotten the end of it."""

import os
import signal
from pathlib import Path
from typing import Final

from tests.servers import free_port

from orchestrator.embedded import DURABLE, ValkeyServer

# One file from the first write on, so that its length is a moment in time.
_OPTIONS: Final = {**DURABLE, "auto-aof-rewrite-percentage": "0", "enable-debug-command": "local"}


class DurableValkey(ValkeyServer):
    """On a port of the loopback; its data outlive `kill()` and `start()`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, port=free_port(), options=_OPTIONS)
        self.snapshot = directory / "dump.rdb"

    def freeze(self) -> None:
        """SIGSTOP: it answers nobody, and its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def written(self) -> int:
        """Bytes in its append-only file: what was written by now."""
        return self._file.stat().st_size

    def forget_after(self, length: int) -> None:
        """Takes back every write behind this one; only while it does not run. A script is kept whole or not at all."""
        assert not self.running
        os.truncate(self._file, length)

    @property
    def _file(self) -> Path:
        return next((self.snapshot.parent / "appendonlydir").glob("*.incr.aof"))
