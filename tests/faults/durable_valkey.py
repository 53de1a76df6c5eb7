"""A Valkey that keeps its append-only file, and can be made to have forgotten the end of it."""

import os
from pathlib import Path
from typing import Final

from tests.faults.redis_faults import harmless
from tests.servers import free_port

from orchestrator.embedded import DURABLE, ValkeyServer

# One file from the first write on, so that its length is a moment in time.
_OPTIONS: Final = {**DURABLE, **harmless(), "auto-aof-rewrite-percentage": "0"}


class DurableValkey(ValkeyServer):
    """On a port of the loopback; its data outlive `kill()` and `start()`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, port=free_port(), options=_OPTIONS)
        self._files = directory / "appendonlydir"

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
        return next(self._files.glob("*.incr.aof"))
