"""A workshop by a clock of its own: tasks come, workers take them by some rule, runs take as long as they take."""

import heapq
import math
from collections.abc import Sequence
from itertools import count
from typing import Final, Protocol

import msgspec

from orchestrator.protocol.tiers import Tier

RENEWAL_SECONDS: Final = 5.0
"""How often a worker says that it lives, as in the SDK with the default lease."""


class Task(msgspec.Struct, frozen=True):
    """One message: when it is sent, and how long an agent works for it."""

    name: str
    tenant: str
    context: str
    at: float
    seconds: float
    tier: Tier = "free"


class Run(msgspec.Struct, frozen=True):
    """A task that was claimed, and when."""

    task: Task
    began: float

    @property
    def waited(self) -> float:
        """Seconds from sending to the claim."""
        return self.began - self.task.at

    def worked_until(self, moment: float) -> float:
        """Seconds that an agent worked for it by then."""
        return max(0.0, min(self.task.seconds, moment - self.began))


class Rule(Protocol):
    """Whose task is next."""

    async def arrive(self, task: Task, now: float) -> None:
        """A task waits."""
        ...

    async def claim(self, worker: str, now: float) -> Task | None:
        """The next one for a worker with a free slot."""
        ...

    async def renew(self, worker: str, task: Task, now: float) -> None:
        """The worker still runs it."""
        ...

    async def done(self, worker: str, task: Task, now: float) -> None:
        """The run is over."""
        ...


async def simulate(rule: Rule, tasks: Sequence[Task], slots: int, until: float) -> list[Run]:
    """What was claimed by `until`, by so many workers of one slot each."""
    workshop = _Workshop(rule, slots)
    for task in tasks:
        workshop.plan(task.at, "arrive", task)
    while workshop.next_at() <= until:
        await workshop.step()
    return workshop.runs


class _Workshop:
    def __init__(self, rule: Rule, slots: int) -> None:
        self.runs: list[Run] = []
        self._rule = rule
        self._events: list[tuple[float, int, str, str, Task]] = []
        self._order = count()
        self._free = [f"worker-{number}" for number in range(slots)]
        self._waiting = 0

    def plan(self, at: float, what: str, task: Task, worker: str = "") -> None:
        """Something happens at a moment."""
        heapq.heappush(self._events, (at, next(self._order), what, worker, task))

    def next_at(self) -> float:
        """When something happens next."""
        return self._events[0][0] if self._events else math.inf

    async def step(self) -> None:
        """It happens; whatever else happens at this moment comes before anybody takes anything."""
        now, _, what, worker, task = heapq.heappop(self._events)
        if what == "arrive":
            await self._rule.arrive(task, now)
            self._waiting += 1
        elif what == "renew":
            await self._rule.renew(worker, task, now)
        else:
            await self._rule.done(worker, task, now)
            self._free.append(worker)
        if self.next_at() > now:
            await self._hand_out(now)

    async def _hand_out(self, now: float) -> None:
        while self._waiting and self._free:
            task = await self._rule.claim(self._free[-1], now)
            if task is None:
                return
            self._waiting -= 1
            self.runs.append(Run(task, now))
            worker = self._free.pop()
            for number in range(int(task.seconds / RENEWAL_SECONDS)):
                self.plan(now + (number + 1) * RENEWAL_SECONDS, "renew", task, worker)
            self.plan(now + task.seconds, "done", task, worker)
