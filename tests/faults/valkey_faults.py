"""Faults of Valkey: restarted, frozen, refusing writes, and without the last second of what it had confirmed."""

import asyncio
import os
import random
import signal
import time
from typing import ClassVar

from tests.faults.durable_valkey import DurableValkey
from tests.faults.fault import Fault
from tests.faults.record import Loss
from tests.faults.redis_faults import REFUSALS, Break, busy


class _OfValkey(Fault):
    def choose(self, chance: random.Random) -> str:
        return "valkey"

    @property
    def valkey(self) -> DurableValkey:
        return self.deployment.valkey


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
        os.kill(self.valkey.pid, signal.SIGSTOP)

    async def heal(self) -> None:
        os.kill(self.valkey.pid, signal.SIGCONT)


class _WhileHarmed(_OfValkey):
    """One of `redis_faults`, from its beginning to its end."""

    harm: ClassVar[Break]
    seconds: ClassVar = (2.0, 6.0)

    async def strike(self) -> None:
        self._harm = type(self).harm(self.valkey)
        await asyncio.to_thread(self._harm.__enter__)

    async def heal(self) -> None:
        await asyncio.to_thread(self._harm.__exit__, None, None, None)


class ValkeyBusy(_WhileHarmed):
    """Somebody's script does not end: Valkey answers everybody else that it is busy."""

    name = "valkey_busy"
    harm = busy


class ValkeyFull(_WhileHarmed):
    """Valkey is out of memory: it refuses what would need more, agents' reports too."""

    name = "valkey_full"
    harm = REFUSALS["OOM"]


class ValkeyDiskFull(_WhileHarmed):
    """Valkey cannot save to its disk and refuses every write (`MISCONF`)."""

    name = "valkey_disk_full"
    harm = REFUSALS["MISCONF"]


class ValkeyReadOnly(_WhileHarmed):
    """Valkey is a replica for a while and takes no writes, as in the middle of a failover."""

    name = "valkey_read_only"
    harm = REFUSALS["READONLY"]


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
    ValkeyReadOnly,
    ValkeyBusy,
    ValkeyLostSecond,
)
