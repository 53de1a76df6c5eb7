"""What one run of the report found, as `results.json` keeps it and the page, the plots and the gate read it."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import Figure
from benchmarks.valkey import allocator
from orchestrator.embedded import get_binary_path

HERE: Final = Path(__file__).resolve().parents[1]
JSON: Final = HERE / "results.json"
PART: Final = HERE.parent / "build" / "benchmarks"
"""Where a smaller run writes the same files: the page is of a whole one."""


class Measured(msgspec.Struct, frozen=True):
    """One load on one subject."""

    micros: float
    """CPU of the service for each event or message."""
    valkey_micros: float
    load_micros: float
    """Of the load, and of an agent that belongs to the peer."""
    rate: float
    """A second, as it ran."""
    busy: float
    """Share of the service's core."""
    load_busy: float
    """Share of the other core: Valkey and the load."""
    p50: float | None = None
    """ms."""
    p99: float | None = None


class Row(msgspec.Struct, frozen=True):
    """One subject, under each load that it could be put under."""

    name: str
    says: str
    versions: str
    stream: Measured | None = None
    trips: Measured | None = None
    alone: Measured | None = None
    paced: Measured | None = None


class Floor(msgspec.Struct, frozen=True):
    """Of uvicorn by itself."""

    answer: Measured
    frame_each: Measured
    frame_together: Measured


class Results(msgspec.Struct, frozen=True):
    """A whole run."""

    command: str
    when: str
    commit: str
    machine: str
    versions: str
    floor: Floor
    rows: list[Row]
    left_out: dict[str, str]
    figures: list[Figure]

    def value(self, name: str) -> float | None:
        """The figure of that name."""
        return next((figure.value for figure in self.figures if figure.name == name), None)


def save(results: Results, path: Path) -> None:
    """As indented JSON."""
    path.write_text(json.dumps(msgspec.to_builtins(results), indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> Results:
    """What `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def machine() -> str:
    """What it ran on."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {cores} cores, {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}"


def versions() -> str:
    """What of the service's own makes the difference."""
    packages = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "redis", "hiredis")
    valkey = subprocess.run(
        [get_binary_path(), "--version"], capture_output=True, text=True, check=True
    ).stdout
    server = next(word for word in valkey.split() if word.startswith("v=")).removeprefix("v=")
    listed = [f"{name} {metadata.version(name)}" for name in packages]
    return ", ".join([f"Python {platform.python_version()}", f"Valkey {server} with {allocator()}", *listed])


def commit() -> str:
    """Which version of the service it was; with a star where files had changed since."""
    found = _git("rev-parse", "--short", "HEAD")
    return found + ("*" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    lines: Sequence[str] = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
