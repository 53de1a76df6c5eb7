"""The way to Redis for the rest of the service: run a script or a command at the server of a key."""

import random
import time
from typing import Any, Final, Self

import msgspec

from orchestrator.broker.connection import Argument, BrokerError, OnState, Reply, Unavailable
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.keys import Keys
from orchestrator.broker.scripts import Scripts
from orchestrator.broker.topology import Topology

LEAST_VERSIONS: Final = {"redis": (7, 0), "valkey": (7, 2)}
_encode: Final = msgspec.msgpack.Encoder().encode


class UnfitServer(BrokerError):
    """The Redis server cannot be used: too old, or set to evict."""


class Keeping(msgspec.Struct, frozen=True):
    """How long the scripts keep things and how much of a log, and how often and how patiently a task is tried."""

    log_ttl_seconds: int
    task_ttl_seconds: int
    log_max_events: int
    log_max_bytes: int
    max_attempts: int
    lease_seconds: float


class Clock:
    """The server's clock, as far as a client can know it; only the server's own decides anything."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def now(self) -> int:
        """Microseconds since 1970 at the server, within about a round trip."""
        return int((time.monotonic() + self._ahead) * 1_000_000)

    def set(self, server_seconds: float, asked: float) -> None:
        """Take the server's answer to a `TIME` that was asked at `asked` (monotonic)."""
        self._ahead = server_seconds - (asked + time.monotonic()) / 2


class Broker:
    """Scripts and commands, each sent to the server that holds its key."""

    def __init__(
        self,
        url: str,
        keys: Keys,
        keeping: Keeping,
        on_state: OnState | None = None,
    ) -> None:
        self.keys: Final = keys
        self.clock: Final = Clock()
        self.topology: Final = Topology(Endpoint(url), on_state)
        self._scripts = Scripts(self.topology)
        # Seeds have to be unlike each other, and are no secret: to ask the system for each would be a call more.
        self._seeds = random.Random()
        self._keep = {
            "log_ttl": keeping.log_ttl_seconds * 1_000_000,
            "task_ttl": keeping.task_ttl_seconds * 1_000_000,
            "max_events": keeping.log_max_events,
            "max_bytes": keeping.log_max_bytes,
            "max_attempts": keeping.max_attempts,
            "lease": int(keeping.lease_seconds * 1_000_000),
        }

    async def __aenter__(self) -> Self:
        self.topology.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.topology.close()

    def arguments(self, **members: Any) -> bytes:
        """The first argument of a script: its own members, what to keep, and the seed of a new epoch."""
        return _encode({**self._keep, "seed": f"{self._seeds.getrandbits(64):016x}", **members})

    async def command(self, key: str, *args: Argument) -> Reply:
        """Run one command at the server of `key`.

        Raises: `Unavailable` (nothing happened), `ReplyLost` (it may have), `Refused`.
        """
        return await self._scripts.command(key, *args)

    async def run(self, script: str, keys: str | list[str], *args: Argument) -> Reply:
        """Run a script with `keys` (all of one slot). Raises as `command` does."""
        return await self._scripts.run(script, keys, *args)

    async def load_functions(self) -> None:
        """Have our functions on every server that is reached; see `Scripts.load_all`."""
        await self._scripts.load_all()

    async def set_clock(self) -> None:
        """Ask the server what time it is."""
        asked = time.monotonic()
        seconds, micros = await self.command(self.keys.replicas, "TIME")
        self.clock.set(int(seconds) + int(micros) / 1_000_000, asked)

    async def check_server(self) -> None:
        """Raise `UnfitServer` where no server is, or one that is too old or would evict what must not be lost."""
        try:
            server = _info(await self.command(self.keys.replicas, "INFO", "server"))
        except Unavailable as error:
            where = self.topology.where
            raise UnfitServer(
                f"REDIS_URL: no server answers at {where}; start it, or mend the setting"
            ) from error
        kind = "valkey" if "valkey_version" in server else "redis"
        version = server[f"{kind}_version"]
        if tuple(int(part) for part in version.split(".")[:2]) < LEAST_VERSIONS[kind]:
            least = ".".join(map(str, LEAST_VERSIONS[kind]))
            raise UnfitServer(f"REDIS_URL: {kind} {version} is too old, {least} or newer is needed")
        memory = _info(await self.command(self.keys.replicas, "INFO", "memory"))
        if memory.get("maxmemory", "0") != "0" and memory.get("maxmemory_policy") != "noeviction":
            raise UnfitServer(
                f"REDIS_URL: maxmemory-policy is {memory.get('maxmemory_policy')!r} and would drop live tasks; "
                "set it to noeviction"
            )


def _info(reply: bytes | str) -> dict[str, str]:
    text = reply.decode() if isinstance(reply, bytes) else reply
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
