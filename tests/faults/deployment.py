"""The service as it is run for real: a durable Valkey, Postgres, replicas, and workers of both kinds."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from tests.faults.child import AGENTS, QUEUES, Child
from tests.faults.durable_valkey import DurableValkey
from tests.faults.plan import Plan
from tests.faults.proxy import Proxy
from tests.postgres import PostgresServer, postgres_server
from tests.servers import SOURCE, OrchestratorServer

from orchestrator.broker.keys import execution_queue
from orchestrator.protocol.tiers import TIERS
from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store

SHIM: Final = Path(__file__).parent / "clock"
"""On the path of the replicas: shifts their clocks by what a file says."""
# Faults are what is tried here, so no limit may get in their way.
_ROOM: Final = {
    "requests_per_minute": 1_000_000,
    "max_outstanding": 100_000,
    "max_connections": 10_000,
    "messages_per_second": 1_000,
}


class Deployment:
    """Everything that may be struck. Blocking starts run in threads, so that the load goes on meanwhile."""

    def __init__(
        self,
        folder: Path,
        postgres: PostgresServer,
        plan: Plan,
        *,
        replicas: int,
        settings: Mapping[str, str],
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.valkey = DurableValkey(folder / "valkey")
        self._plan = plan
        self._settings = dict(settings)
        self._number_of_replicas = replicas
        self.replicas: list[OrchestratorServer] = []
        self.to_valkey: list[Proxy] = []
        """The line of each replica to Valkey."""
        self.to_replicas: list[Proxy] = []
        """The line of the clients to each replica."""
        self.workers: list[Child] = []

    async def start(self) -> None:
        """Returns once every replica is ready."""
        await asyncio.to_thread(self.valkey.start)
        await self._create_tenants()
        self._lay_lines()
        self.workers = [*(self._sdk_worker(n) for n in range(3)), *(self._plain_agent(n) for n in range(2))]
        for worker in self.workers:
            worker.start()
        await asyncio.gather(*(self.start_replica(number) for number in range(len(self.replicas))))

    def _lay_lines(self) -> None:
        """Every replica is behind a line of its own on both sides."""
        for number in range(self._number_of_replicas):
            self.to_valkey.append(self._line(self.valkey.port, redis=True))
            self.replicas.append(self._replica(number))
            self.to_replicas.append(self._line(self.replicas[number].port))

    def _line(self, port: int, *, redis: bool = False) -> Proxy:
        line = Proxy(port, redis=redis)
        line.start()
        return line

    async def start_replica(self, number: int) -> None:
        """Starts one as a supervisor would: again, if it ended because something else was away."""
        while True:
            try:
                await asyncio.to_thread(self.replicas[number].start, 60)
            except AssertionError:
                self.replicas[number].kill()
                await asyncio.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        """Ends every process, frozen ones too."""
        for replica in self.replicas:
            replica.kill()
        for worker in self.workers:
            worker.kill()
        for line in (*self.to_replicas, *self.to_valkey):
            line.stop()
        self.valkey.kill()

    @property
    def database_url(self) -> str:
        """Where tenants and agents are kept."""
        return self.postgres.get_uri(driver="psycopg")

    @property
    def ports(self) -> list[int]:
        """Where clients find each replica."""
        return [line.port for line in self.to_replicas]

    def clock_file(self, number: int) -> Path:
        """Where the replica reads by how many seconds its clock is wrong."""
        return self.folder / f"clock-{number}"

    def logs(self) -> list[Path]:
        """What everybody has logged."""
        return [child.log_path for child in (*self.replicas, *self.workers)]

    def _replica(self, number: int) -> OrchestratorServer:
        limits = dict.fromkeys(TIERS, _ROOM)
        env = {
            "REDIS_URL": f"redis://127.0.0.1:{self.to_valkey[number].port}/0",
            "DATABASE_URL": self.database_url,
            "PYTHONPATH": f"{SHIM}:{SOURCE}",
            "FAULTS_CLOCK": str(self.clock_file(number)),
            "ORCHESTRATOR_LOG_FORMAT": "json",
            "ORCHESTRATOR_TIER_LIMITS": json.dumps(limits),
            "ORCHESTRATOR_MAX_REQUESTS_PER_SESSION": "0",
            "ORCHESTRATOR_MAX_ATTEMPTS": "100",
            "ORCHESTRATOR_VALIDATION_CACHE_TTL": "5",
            "ORCHESTRATOR_DRAIN_TIMEOUT": "5",
            **self._settings,
        }
        return OrchestratorServer(env, self.folder / f"replica-{number}.log")

    def _sdk_worker(self, number: int) -> Child:
        names = ",".join(customer.agent("sdk") for customer in self._plan.customers)
        env = {"REDIS_URL": self.valkey.url, AGENTS: names, "ORCHESTRATOR_LEASE": "3"}
        command = ("orchestrator", "worker", "tests.faults.agents:worker")
        return Child(command, env, self.folder / f"worker-{number}.log")

    def _plain_agent(self, number: int) -> Child:
        queues = [
            execution_queue(customer.agent("plain"), customer.tier) for customer in self._plan.customers
        ]
        env = {"REDIS_URL": self.valkey.url, QUEUES: ",".join(queues)}
        env["PYTHONPATH"] = f"{SOURCE}:{SOURCE.parent}"
        return Child(("tests.faults.plain_agent",), env, self.folder / f"plain-{number}.log")

    async def _create_tenants(self) -> None:
        async with Store(self.database_url) as store:
            await upgrade(store)
            for customer in self._plan.customers:
                await store.create_tenant(customer.id, customer.tier)
                for kind in ("sdk", "plain"):
                    await store.create_context(customer.id, "agent", customer.agent(kind))


@asynccontextmanager
async def deployment(
    plan: Plan, *, replicas: int = 3, keep: Path | None = None, **settings: str
) -> AsyncGenerator[Deployment]:
    """A running deployment of a plan's tenants, in a folder that is gone afterwards, or in `keep`, which stays."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="faults-", dir=keep))
        if keep is None:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = stack.enter_context(postgres_server())
        made = Deployment(folder, postgres, plan, replicas=replicas, settings=settings)
        stack.callback(made.stop)
        await made.start()
        yield made
