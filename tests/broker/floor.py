"""What a test does to the dispatch, in few words."""

from typing import Any, Final

from orchestrator.broker.broker import Broker
from orchestrator.broker.dispatch import Claimed, Dispatch, Waiting, wake_key

LEASE_MS: Final = 60_000
PAST_MS: Final = -1
"""A lease that is over as soon as it begins."""


def home(tenant: str) -> str:
    """The tenant's name in the dispatch."""
    return f"orchestrator:{tenant}:callbacks"


class Floor:
    """The dispatch of a server, and what lies in it."""

    def __init__(self, broker: Broker, client: Any) -> None:
        self.dispatch: Final = Dispatch(broker.run)
        self.broker: Final = broker
        self.client: Final = client

    async def worker(self, name: str, *contexts: str) -> str:
        """A live worker of these contexts, else of `agent-1`."""
        await self.dispatch.register(name, contexts or ("agent-1",), 4, LEASE_MS)
        return name

    async def wait(self, *tasks: str, tenant: str = "acme", context: str = "agent-1", **more: Any) -> int:
        """Attempts of these tasks wait, the first ones unless `attempt` says otherwise."""
        attempt = more.pop("attempt", 1)
        entries = [Waiting(task, attempt, context, "free", home(tenant), **more) for task in tasks]
        return await self.dispatch.ready(entries)

    async def claim(self, worker: str, n: int = 1, lease_ms: int = LEASE_MS) -> list[str]:
        """The tasks that the worker gets."""
        return [claim.task for claim in await self.dispatch.claim(worker, lease_ms, n)]

    async def finish(self, *tasks: str, worker: str = "", **more: bool) -> None:
        """Any attempts of these tasks are over."""
        await self.dispatch.finish([(task, 0) for task in tasks], worker, **more)

    def held(self, task: str, attempt: int = 1, tenant: str = "acme") -> Claimed:
        """What a worker has after it claimed the task."""
        return Claimed(task, attempt, "agent-1", "free", home(tenant))

    def woken(self, worker: str) -> list[str]:
        """What the worker was woken for, and is so no more."""
        key = wake_key(worker)
        found = [item.decode() for item in self.client.lrange(key, 0, -1)]
        self.client.delete(key)
        return found

    def value(self, key: str, field: str) -> float | None:
        """A number in one of the hashes."""
        found = self.client.hget(f"{{dispatch}}:{key}", field)
        return None if found is None else float(found)

    def virtual_time(self, tenant: str) -> float:
        """How much the tenant was charged, in the only pool that there is."""
        (pool,) = self.client.scan_iter("{dispatch}:vt:*")
        return float(self.client.zscore(pool, home(tenant))) / 1e6

    def running(self, tenant: str = "acme") -> int:
        """How many places under its cap the tenant holds."""
        return int(self.client.zcard(f"{{dispatch}}:run:{home(tenant)}"))

    def commands(self) -> int:
        """How many commands the server has run so far, in scripts too."""
        return sum(stat["calls"] for stat in self.client.info("commandstats").values())
