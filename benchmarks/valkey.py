"""The Valkey of a benchmark: as an operator would run it, as far as two cores let it.

Whoever builds Redis or Valkey for Linux gets jemalloc unless asked for something else; the wheel that the embedded
server comes from has the allocator of the C library, with which the same load costs Valkey 12 to 27 % more. So where
this machine has jemalloc (Debian: `libjemalloc2`), the server of a benchmark runs with it.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path
from typing import Final

from orchestrator.embedded import DURABLE, ValkeyServer

OPTIONS: Final = {**DURABLE, "auto-aof-rewrite-percentage": "0"}
"""It writes its append-only file and does not rewrite it: that is a child's work, which wants a core of its own.

On the core that Valkey shares with load and agents the child cost 200 people 7 to 23 % of their round trips a second,
each time that the file had doubled.
"""


def preload() -> None:
    """Have every Valkey that this process starts run with jemalloc, where the system has it; nothing else does."""
    if library := find_library("jemalloc"):
        os.environ["LD_PRELOAD"] = library


def allocator() -> str:
    """What a Valkey that is started now runs with."""
    return "jemalloc" if "jemalloc" in os.environ.get("LD_PRELOAD", "") else "the C library's malloc"


@contextmanager
def running_valkey(folder: Path) -> Generator[ValkeyServer]:
    """One whose data and log lie below `folder`."""
    server = ValkeyServer(folder / "valkey", options=OPTIONS)
    server.start()
    try:
        yield server
    finally:
        server.stop()
