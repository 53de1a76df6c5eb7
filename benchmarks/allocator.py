"""What Valkey gets its memory from.

Whoever builds Redis or Valkey for Linux gets jemalloc unless asked for something else; the wheel that the embedded
server comes from has the allocator of the C library, with which the same load costs Valkey 12 to 27 % more. So where
this machine has jemalloc (Debian: `libjemalloc2`), the server of a benchmark runs with it.
"""

import os
from ctypes.util import find_library


def preload() -> None:
    """Have every Valkey that this process starts run with jemalloc, where the system has it; nothing else does."""
    if library := find_library("jemalloc"):
        os.environ["LD_PRELOAD"] = library


def allocator() -> str:
    """What a Valkey that is started now runs with."""
    return "jemalloc" if "jemalloc" in os.environ.get("LD_PRELOAD", "") else "the C library's malloc"
