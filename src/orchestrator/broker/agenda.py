"""The agenda: which tenant has to be looked at when (a sorted set in 16 parts)."""

from typing import Final, cast

from orchestrator.broker.broker import Broker

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
        # GT would lose an earlier look, and plain ZADD too; LT keeps the earlier and still adds.
        await self._broker.command(key, "ZADD", key, "LT", look, tenant)

    async def due(self, part: int) -> list[tuple[str, bytes]]:
        """Tenants of a part whose time has come, with the score that was read."""
        key = self._broker.keys.agenda_part(part)
        now = self._broker.clock.now()
        flat = cast(
            "list[bytes]",
            await self._broker.command(
                key, "ZRANGEBYSCORE", key, "-inf", now, "WITHSCORES", "LIMIT", 0, DUE_PER_LOOK
            ),
        )
        return [(flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2)]

    async def reschedule(self, tenant: str, seen: bytes, look: int) -> None:
        """Plan the next look (0: none), unless the tenant was planned anew since `seen` was read."""
        await self._broker.run("reschedule", self._broker.keys.agenda(tenant), tenant, seen, look)

    async def tenants(self) -> list[str]:
        """Every tenant on the agenda: those that were active in the last hour."""
        found: list[str] = []
        for part in range(16):
            key = self._broker.keys.agenda_part(part)
            found += [name.decode() for name in await self._broker.command(key, "ZRANGE", key, 0, -1)]
        return found
