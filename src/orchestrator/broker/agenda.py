"""The agenda: which tenant has to be looked at when (a sorted set in 16 parts)."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import AGENDA_PARTS

LOOK_AHEAD_MICROS: Final = 60_000_000
"""A tenant with anything outstanding is looked at least this often."""
_PLANS_MAX: Final = 10_000
DUE_PER_LOOK: Final = 200


class Plan(NamedTuple):
    """A look at a tenant that was noted."""

    tended: str
    """When it was looked at last before: what `admit.lua` is told."""
    look: int
    """Microseconds."""


class Agenda:
    """Puts tenants on the agenda and reads what is due.

    A plan that was made need not be made again for the next task while nobody has looked at the tenant since: only who
    has looked takes a plan back. When that was lies with the tenant, where an admission is held against it.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    def plan(self, tenant: str, by: int) -> Plan | None:
        """The plan of a look by then (µs); None: the tenant has to be noted."""
        plan = self._plans.get(tenant)
        return plan if plan and self._broker.clock.now() < plan.look <= by else None

    def keep_plan(self, tenant: str, tended: str, look: int) -> None:
        """A look was noted after an admission had told `tended`: so whoever looked before cannot take it back."""
        self._plans[tenant] = Plan(tended, look)
        if len(self._plans) > _PLANS_MAX:
            self._plans.popitem(last=False)

    def forget_plan(self, tenant: str) -> None:
        """Somebody has looked since."""
        self._plans.pop(tenant, None)

    async def note(self, tenant: str, deadline: int) -> None:
        """Have the tenant looked at by `deadline` (µs), sooner if that was planned already."""
        key = self._broker.keys.agenda(tenant)
        look = min(deadline, self._broker.clock.now() + LOOK_AHEAD_MICROS)
        await self._broker.run("note", key, tenant, look)

    async def due(self, parts: Sequence[int]) -> list[tuple[str, bytes]]:
        """Tenants of these parts whose time has come, with the score that was read."""
        keys = [self._broker.keys.agenda_part(part) for part in parts]
        if not keys:
            return []
        calls = [[key] for key in keys] if self._broker.topology.is_cluster else [keys]
        replies = await asyncio.gather(*(self._broker.run("due", call, DUE_PER_LOOK) for call in calls))
        return [pair for reply in replies for flat in reply for pair in _pairs(flat)]

    async def reschedule(self, tenant: str, seen: bytes, look: int) -> None:
        """Plan the next look (0: none), unless the tenant was planned anew since `seen` was read."""
        await self._broker.run("reschedule", self._broker.keys.agenda(tenant), tenant, seen, look)

    async def tenants(self) -> list[str]:
        """Every tenant on the agenda: those that were active in the last hour."""
        keys = [self._broker.keys.agenda_part(part) for part in range(AGENDA_PARTS)]
        replies = await asyncio.gather(*(self._broker.command(key, "ZRANGE", key, 0, -1) for key in keys))
        return [name.decode() for names in replies for name in names]


def _pairs(flat: list[bytes]) -> list[tuple[str, bytes]]:
    return [(flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2)]
