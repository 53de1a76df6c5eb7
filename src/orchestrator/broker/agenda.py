"""The agenda: which tenant has to be looked at when (a sorted set in 16 parts)."""

import asyncio
from collections.abc import Sequence
from typing import Final

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import AGENDA_PARTS

LOOK_AHEAD_MICROS: Final = 60_000_000
"""A tenant with anything outstanding is looked at least this often."""
DUE_PER_LOOK: Final = 200


class Agenda:
    """Puts tenants on the agenda and reads what is due."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

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
