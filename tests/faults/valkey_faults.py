"""Faults of Valkey: restarted, frozen, full, without a disk, and without the last second of what it had confirmed."""

import asyncio
import random
import time
from typing import Any, ClassVar

import redis
from tests.faults.durable_valkey import DurableValkey
from tests.faults.fault import Fault
from tests.faults.record import Loss
from tests.servers import wait_blocking


class _OfValkey(Fault):
    def choose(self, chance: random.Random) -> str:
        return "valkey"

    @property
    def valkey(self) -> DurableValkey:
        return self.deployment.valkey

    def _client(self) -> Any:
        return redis.Redis(port=self.valkey.port, decode_responses=True, socket_timeout=10)


class ValkeyRestarted(_OfValkey):
    """SIGKILL of Valkey; it comes back with all that it had written, and nobody may be told of a loss."""

    name = "valkey_restarted"

    async def strike(self) -> None:
        self.valkey.kill()

    async def heal(self) -> None:
        await asyncio.to_thread(self.valkey.start)


class ValkeyPaused(_OfValkey):
    """SIGSTOP of Valkey for ten seconds: connections stay and nobody answers."""

    name = "valkey_paused"
    seconds: ClassVar = (10.0, 10.0)

    async def strike(self) -> None:
        self.valkey.freeze()

    async def heal(self) -> None:
        self.valkey.thaw()


class ValkeyFull(_OfValkey):
    """Valkey is out of memory: it refuses what would need more, agents' reports too."""

    name = "valkey_full"
    seconds: ClassVar = (2.0, 6.0)

    async def strike(self) -> None:
        await asyncio.to_thread(self._limit, "1mb")

    async def heal(self) -> None:
        await asyncio.to_thread(self._limit, "0")

    def _limit(self, size: str) -> None:
        with self._client() as client:
            client.config_set("maxmemory", size)


class ValkeyDiskFull(_OfValkey):
    """Valkey cannot save to its disk and refuses every write (`MISCONF`)."""

    name = "valkey_disk_full"
    seconds: ClassVar = (2.0, 6.0)

    async def strike(self) -> None:
        await asyncio.to_thread(self._break)

    async def heal(self) -> None:
        await asyncio.to_thread(self._mend)

    def _break(self) -> None:
        # A folder where the snapshot belongs: the save fails for every user, root included.
        self.valkey.snapshot.mkdir()
        with self._client() as client:
            client.config_set("save", "86400 1000000000")
            self._save(client, "err")

    def _mend(self) -> None:
        self.valkey.snapshot.rmdir()
        with self._client() as client:
            self._save(client, "ok")
            client.config_set("save", "")
        self.valkey.snapshot.unlink()

    def _save(self, client: Any, status: str) -> None:
        client.bgsave()
        wait_blocking(lambda: client.info("persistence")["rdb_last_bgsave_status"] == status, 20, status)


class ValkeyLostSecond(_OfValkey):
    """SIGKILL of Valkey, which comes back without the last second of confirmed writes, as after a power cut."""

    name = "valkey_lost_second"
    takes_back = True

    async def strike(self) -> None:
        since, length = time.time(), self.valkey.written
        await asyncio.sleep(1)
        self.valkey.kill()
        self.losses.append(Loss(since, time.time()))
        self.valkey.forget_after(length)

    async def heal(self) -> None:
        await asyncio.to_thread(self.valkey.start)


FAULTS: tuple[type[Fault], ...] = (
    ValkeyRestarted,
    ValkeyPaused,
    ValkeyFull,
    ValkeyDiskFull,
    ValkeyLostSecond,
)
