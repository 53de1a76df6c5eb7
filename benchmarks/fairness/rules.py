"""The rules that are compared: the scripts of the dispatch as they are, strict priority, and taking turns by queue."""

import heapq
from collections import OrderedDict, deque
from typing import Any, Final

from benchmarks.fairness.simulation import Task
from orchestrator.broker.connection import Reply
from orchestrator.broker.dispatch import Claimed, Dispatch, Waiting
from orchestrator.broker.libraries import library_of
from orchestrator.protocol.tiers import DEFAULT_LIMITS, TIERS

LEASE_MS: Final = 15_000
CLOCK: Final = "{dispatch}:clock"
_TIME: Final = "redis.call('TIME')"
_VIRTUAL: Final = f"redis.call('HMGET', '{CLOCK}', 'seconds', 'micros')"


class VirtualScripts:
    """The dispatch's functions on a real server, with one line of them replaced: where they ask for the time.

    They have names of their own: under the others the server would go on with this clock for everybody.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        library = library_of("claim")
        digest = library.name.rpartition("_")[2]  # in all of their names
        text = library.text.replace(_TIME, _VIRTUAL).replace(digest, f"{digest}_virtual")
        client.function_load(text, replace=True)

    def set_clock(self, now: float) -> None:
        """It is `now` seconds since the beginning."""
        seconds, micros = divmod(round((now + 1_000_000) * 1_000_000), 1_000_000)
        self._client.hset(CLOCK, mapping={"seconds": seconds, "micros": micros})

    async def run(self, script: str, key: str, *arguments: str | bytes | int) -> Reply:
        """Run a script; with an `await` for the callers' sake."""
        function = f"{library_of(script).scripts[script]}_virtual"
        return self._client.fcall(function, 1, key, *arguments)


class Ours:
    """The fair dispatch, as `claim.lua` and the others have it."""

    name = "ours"

    def __init__(self, client: Any) -> None:
        client.flushall()
        self._scripts = VirtualScripts(client)
        self._dispatch = Dispatch(self._scripts.run)
        self._tasks: dict[str, Task] = {}
        self._contexts: list[str] = []
        self._known: set[str] = set()

    def serve(self, contexts: list[str]) -> None:
        """What each worker serves."""
        self._contexts = contexts

    async def arrive(self, task: Task, now: float) -> None:
        self._scripts.set_clock(now)
        self._tasks[task.name] = task
        await self._dispatch.ready([_waiting(task)])

    async def claim(self, worker: str, now: float) -> Task | None:
        self._scripts.set_clock(now)
        if worker not in self._known:
            self._known.add(worker)
            await self._dispatch.register(worker, self._contexts, 1, LEASE_MS)
        claimed = await self._dispatch.claim(worker, LEASE_MS, 1)
        return self._tasks[claimed[0].task] if claimed else None

    async def renew(self, worker: str, task: Task, now: float) -> None:
        self._scripts.set_clock(now)
        held = Claimed(task.name, 1, task.context, task.tier, _home(task))
        await self._dispatch.renew(worker, LEASE_MS, [held])

    async def done(self, worker: str, task: Task, now: float) -> None:
        self._scripts.set_clock(now)
        await self._dispatch.finish([(task.name, 1)], worker)


def _home(task: Task) -> str:
    return f"orchestrator:{task.tenant}:callbacks"


def _waiting(task: Task) -> Waiting:
    weight = DEFAULT_LIMITS[task.tier].weight
    return Waiting(task.name, 1, task.context, task.tier, _home(task), weight)


class _Plain:
    """A rule that only chooses: nobody is charged."""

    def serve(self, contexts: list[str]) -> None:
        """They serve everything."""

    async def renew(self, worker: str, task: Task, now: float) -> None:
        """Nothing follows from it."""

    async def done(self, worker: str, task: Task, now: float) -> None:
        """Nothing follows from it."""


class Strict(_Plain):
    """The highest tier first; within a tier first in, first out."""

    name = "strict priority"

    def __init__(self) -> None:
        self._waiting: list[tuple[int, float, int, Task]] = []

    async def arrive(self, task: Task, now: float) -> None:
        entry = (-TIERS.index(task.tier), now, len(self._waiting), task)
        heapq.heappush(self._waiting, entry)

    async def claim(self, worker: str, now: float) -> Task | None:
        return heapq.heappop(self._waiting)[-1] if self._waiting else None


class RoundRobin(_Plain):
    """Each queue, of an agent and a tier, has its turn; within it first in, first out."""

    name = "round robin"

    def __init__(self) -> None:
        self._queues: OrderedDict[tuple[str, str], deque[Task]] = OrderedDict()

    async def arrive(self, task: Task, now: float) -> None:
        self._queues.setdefault((task.context, task.tier), deque()).append(task)

    async def claim(self, worker: str, now: float) -> Task | None:
        if not self._queues:
            return None
        place, queue = self._queues.popitem(last=False)
        task = queue.popleft()
        if queue:
            self._queues[place] = queue
        return task
