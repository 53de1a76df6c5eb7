"""The live replicas of a deployment, what each tells of itself, and the sums that outlive them."""

import asyncio
import secrets
import time
from typing import Any, Final, cast

import msgspec

from orchestrator.broker.broker import Broker, UnfitServer

DEAD_AFTER_MICROS: Final = 3_000_000
_REPORT_TTL_MS: Final = 5_000
_OWNER_TTL_SECONDS: Final = 15
_QUEUES_KEPT_MICROS: Final = 7 * 86_400 * 1_000_000
_QUEUES_MAX: Final = 10_000

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Roster:
    """Who is alive, by heartbeats in the server's time."""

    def __init__(self, broker: Broker, domain: str) -> None:
        self._broker = broker
        self._keys = broker.keys
        self._domain = domain

    async def claim_prefix(self) -> None:
        """Keep the callback prefix for this deployment; raises `UnfitServer` where another one uses it.

        Two deployments with one prefix would take each other's callbacks.
        """
        key = self._keys.prefix_owner
        _, owner = await asyncio.gather(
            self._broker.command(key, "SET", key, self._domain, "NX", "EX", _OWNER_TTL_SECONDS),
            self._broker.command(key, "GET", key),
        )
        if owner is not None and owner.decode() != self._domain:
            raise UnfitServer(
                f"ORCHESTRATOR_CALLBACK_QUEUE_PREFIX: deployment {owner.decode()!r} uses this prefix on the same "
                "Redis; choose another prefix or the same ORCHESTRATOR_DOMAIN_NAME"
            )
        await self._broker.command(key, "EXPIRE", key, _OWNER_TTL_SECONDS)

    async def beat(self, replica: str, report: dict[str, Any]) -> list[str]:
        """Say that `replica` lives, with what it tells of itself; the names of all live ones."""
        key, now = self._keys.replicas, self._broker.clock.now()
        own = self._keys.replica(replica)
        *_, live = await asyncio.gather(
            self._broker.command(key, "ZADD", key, now + DEAD_AFTER_MICROS, replica),
            self._broker.command(key, "PEXPIRE", key, 60_000),
            self._broker.command(key, "ZREMRANGEBYSCORE", key, "-inf", f"({now}"),
            self._broker.command(own, "SET", own, _encode(report), "PX", _REPORT_TTL_MS),
            self.live(),
        )
        return live

    async def live(self) -> list[str]:
        """The names of the live replicas."""
        key, now = self._keys.replicas, self._broker.clock.now()
        # No further ahead than a beat can lie: after a step of the clock backwards a dead one would stay alive.
        names = await self._broker.command(key, "ZRANGEBYSCORE", key, now, now + 2 * DEAD_AFTER_MICROS)
        return [name.decode() for name in names]

    async def leave(self, replica: str) -> None:
        """Take a replica off the roster, so that the others share its work at once."""
        key, own = self._keys.replicas, self._keys.replica(replica)
        await asyncio.gather(
            self._broker.command(key, "ZREM", key, replica), self._broker.command(own, "DEL", own)
        )

    async def reports(self) -> dict[str, dict[str, Any]]:
        """What each live replica told of itself last."""
        names = await self.live()
        keys = [self._keys.replica(name) for name in names]
        reports = await asyncio.gather(*(self._broker.command(key, "GET", key) for key in keys))
        return {name: _decode(report) for name, report in zip(names, reports, strict=True) if report}

    async def add_totals(self, counts: dict[str, int]) -> None:
        """Add to the deployment's sums."""
        key = self._keys.totals
        rises = counts.items()
        await asyncio.gather(*(self._broker.command(key, "HINCRBY", key, field, n) for field, n in rises))

    async def totals(self) -> dict[str, int]:
        """The deployment's sums since it began."""
        key = self._keys.totals
        flat = cast("list[bytes]", await self._broker.command(key, "HGETALL", key))
        return {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}

    async def note_queues(self, queues: list[str]) -> None:
        """Remember execution queues that were used, for a week after their last use."""
        if not queues:
            return
        key = self._keys.queues
        now = self._broker.clock.now()
        chunks = [queues[start : start + 500] for start in range(0, len(queues), 500)]
        adds = [[item for queue in chunk for item in (now, queue)] for chunk in chunks]
        # In one go: a replica that dies between two of them would leave the key without an end.
        await asyncio.gather(
            *(self._broker.command(key, "ZADD", key, *pairs) for pairs in adds),
            self._broker.command(key, "ZREMRANGEBYSCORE", key, "-inf", now - _QUEUES_KEPT_MICROS),
            self._broker.command(key, "ZREMRANGEBYRANK", key, 0, -_QUEUES_MAX - 1),
            self._broker.command(key, "PEXPIRE", key, _QUEUES_KEPT_MICROS // 1000),
        )

    async def queues(self) -> list[str]:
        """Execution queues that were used within a week."""
        key = self._keys.queues
        return [name.decode() for name in await self._broker.command(key, "ZRANGE", key, 0, -1)]


def new_replica_name() -> str:
    """A name that no earlier process had, so that nobody takes a restarted replica for its former self."""
    return f"{int(time.time()):x}-{secrets.token_hex(6)}"
