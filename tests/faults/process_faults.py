"""Faults of replicas and workers: killed, frozen, restarted one after the other, with a wrong clock."""

import asyncio
import random
import signal
from typing import ClassVar

from tests.faults.child import Child
from tests.faults.fault import Fault
from tests.servers import OrchestratorServer


class _OfReplica(Fault):
    number: int

    def choose(self, chance: random.Random) -> str:
        self.number = chance.randrange(len(self.deployment.replicas))
        return f"replica {self.number}"

    @property
    def replica(self) -> OrchestratorServer:
        return self.deployment.replicas[self.number]


class ReplicaKilled(_OfReplica):
    """SIGKILL of a replica; another is started in its place."""

    name = "replica_killed"

    async def strike(self) -> None:
        self.replica.kill()

    async def heal(self) -> None:
        await self.deployment.start_replica(self.number)


class ReplicaFrozen(_OfReplica):
    """SIGSTOP of a replica for longer than its heartbeat counts; it wakes up and believes in its share."""

    name = "replica_frozen"
    seconds: ClassVar = (4.0, 12.0)

    async def strike(self) -> None:
        self.replica.process.send_signal(signal.SIGSTOP)

    async def heal(self) -> None:
        self.replica.process.send_signal(signal.SIGCONT)


class ReplicasRolled(Fault):
    """SIGTERM of every replica, one after the other, each started again before the next: a rolling update."""

    name = "replicas_rolled"
    seconds: ClassVar = (0.0, 0.0)

    def choose(self, chance: random.Random) -> str:
        return "replicas"

    async def strike(self) -> None:
        for number, replica in enumerate(self.deployment.replicas):
            await asyncio.to_thread(replica.stop)
            await self.deployment.start_replica(number)

    async def heal(self) -> None:
        pass


class ClockJumped(_OfReplica):
    """The clock of a replica jumps by an hour, forwards or back, and later back again."""

    name = "clock_jumped"
    seconds: ClassVar = (5.0, 10.0)

    def choose(self, chance: random.Random) -> str:
        self.ahead = chance.choice((-3600, 3600))
        return super().choose(chance)

    async def strike(self) -> None:
        self.deployment.clock_file(self.number).write_text(str(self.ahead))

    async def heal(self) -> None:
        self.deployment.clock_file(self.number).write_text("0")


class _OfWorker(Fault):
    worker: Child

    def choose(self, chance: random.Random) -> str:
        self.worker = chance.choice(self.deployment.workers)
        return self.worker.log_path.stem


class WorkerKilled(_OfWorker):
    """SIGKILL of a worker of the SDK, or of an agent that asked for a lease; another is started in its place."""

    name = "worker_killed"
    seconds: ClassVar = (0.0, 2.0)

    async def strike(self) -> None:
        self.worker.kill()

    async def heal(self) -> None:
        self.worker.start()


class WorkerStopped(_OfWorker):
    """SIGTERM of a worker: one of the SDK finishes what it has; another is started in its place."""

    name = "worker_stopped"
    seconds: ClassVar = (0.0, 1.0)

    async def strike(self) -> None:
        await asyncio.to_thread(self.worker.stop)

    async def heal(self) -> None:
        self.worker.start()


class WorkerFrozen(_OfWorker):
    """SIGSTOP of a worker for longer than its leases; it wakes up and goes on with what others have."""

    name = "worker_frozen"
    seconds: ClassVar = (3.5, 9.0)

    async def strike(self) -> None:
        self.worker.send(signal.SIGSTOP)

    async def heal(self) -> None:
        self.worker.send(signal.SIGCONT)


FAULTS: tuple[type[Fault], ...] = (
    ReplicaKilled,
    ReplicaFrozen,
    ReplicasRolled,
    ClockJumped,
    WorkerKilled,
    WorkerStopped,
    WorkerFrozen,
)
