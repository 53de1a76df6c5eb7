"""When which fault strikes: at first each alone, in turn; in the second half several at a time."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from typing import Final

from tests.faults.deployment import Deployment
from tests.faults.fault import Fault
from tests.faults.record import Loss, Strike

_BREATH: Final = (1.0, 4.0)
"""Seconds between two faults."""
_LOOK_SECONDS: Final = 0.2
_LAST_SECONDS: Final = 3.0
"""No fault begins so shortly before the end of the load."""


class Schedule:
    """Strikes and heals; `strikes` is what was done, and `losses` which writes were taken back."""

    def __init__(self, deployment: Deployment, chance: random.Random, at_once: int) -> None:
        self.strikes: list[Strike] = []
        self.losses: list[Loss] = []
        self._deployment = deployment
        self._chance = chance
        self._at_once = at_once
        self._began = time.monotonic()
        self._under_way: dict[str, str] = {}

    @property
    def told(self) -> str:
        """How many there were, and what is under way, in words."""
        under_way = ", ".join(f"{name} ({subject})" for subject, name in self._under_way.items())
        return f"{len(self.strikes)} faults healed, {under_way or 'none'} under way"

    async def run(self, seconds: float, faults: Sequence[type[Fault]]) -> None:
        """Returns when all is healed."""
        self._began = time.monotonic()
        order = self._order(faults)
        await self._some(order, seconds / 2)
        await asyncio.gather(*(self._some(order, seconds) for _ in range(self._at_once)))

    def _order(self, faults: Sequence[type[Fault]]) -> Iterator[type[Fault]]:
        """Each before any a second time, in a new order every time."""
        while True:
            yield from self._chance.sample(list(faults), len(faults))

    async def _some(self, order: Iterator[type[Fault]], until: float) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*_BREATH))
            if self._now > until - _LAST_SECONDS:
                return
            fault = next(order)(self._deployment, self._chance)
            while self._is_struck(
                fault.subject
            ):  # it keeps its turn, so that each strikes as often as any other
                await asyncio.sleep(_LOOK_SECONDS)
                if self._now > until - _LAST_SECONDS:
                    return
            await self._strike(fault)

    def _is_struck(self, subject: str) -> bool:
        return any(_same(subject, other) for other in self._under_way)

    async def _strike(self, fault: Fault) -> None:
        self._under_way[fault.subject] = fault.name
        began = self._now
        try:
            await fault.strike()
            await asyncio.sleep(fault.lasts)
        finally:
            await fault.heal()
            del self._under_way[fault.subject]
            self.strikes.append(Strike(f"{fault.name} ({fault.subject})", began, self._now))
            self.losses += fault.losses

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began


def _same(one: str, other: str) -> bool:
    """Whether two subjects have something in common: `replicas` are all of them."""
    both = one.startswith("replica") and other.startswith("replica")
    return one == other or (both and "replicas" in (one, other))
