"""The scripts of the way back: take callbacks, the large ones apart, bury what cannot be delivered."""

import asyncio
import hashlib
from typing import Any, Final, Literal, cast

import msgspec

from orchestrator.broker.broker import Broker

ITEMS_PER_CALL: Final = 128
BYTES_PER_CALL: Final = 40 * 1024
"""Of the worst JSON that is what Redis reads in 4 ms; deliver.lua takes no single callback that is larger."""
QUEUES_PER_CALL: Final = 64
CALLBACK_BYTES_MAX: Final = 1024 * 1024
HUGE_BYTES: Final = 4 * 1024 * 1024
_DECISIVE: Final = (b'"task_id"', b'"status"', b'"attempt"')
_PIECE: Final = 4096

Stop = Literal["", "big", "error", "moved"]


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """A task that ended in a call."""

    task: str
    status: str
    answer_micros: int
    session: str
    holds: bool = False
    """Whether the session has held messages, one of which may go now."""
    context: str = ""
    tier: str = ""


class Started(msgspec.Struct, frozen=True, array_like=True):
    """A task that an agent reported for the first time."""

    task: str
    queue_micros: int


class Move(msgspec.Struct, frozen=True, array_like=True):
    """An agent has begun with a task, which may take until a moment (µs), or has it no longer (0)."""

    task: str
    context: str
    tier: str
    until: int


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """What one call did with one queue; `counts` are like `{"dropped|late": 2}`."""

    taken: int
    left: int
    stop: Stop
    error: str
    size: int
    """Bytes of the callback that stopped it for being big."""
    counts: dict[str, int] = {}
    due: int = 0
    """When the tenant has to be looked at for what was taken (µs): a lease, or a next attempt; 0: not for that."""
    started: list[Started] = []
    ended: list[Ended] = []
    moves: list[Move] = []


_delivered: Final = msgspec.msgpack.Decoder(Delivered).decode


class Callbacks:
    """Typed calls of `deliver.lua`, `deliver_big.lua`, `deliver_huge.lua` and `bury.lua`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._queue = broker.keys.callbacks

    async def deliver(self, tenants: list[str]) -> list[Delivered]:
        """Take callbacks of up to 64 tenants (one slot in a Cluster); an answer per tenant, in order.

        Not idempotent, and needs not be: what it took, it took with its whole effect.
        """
        arguments = self._broker.arguments(items=ITEMS_PER_CALL, bytes=BYTES_PER_CALL)
        replies = await self._broker.run("deliver", [self._queue(tenant) for tenant in tenants], arguments)
        return [_delivered(reply) for reply in replies]

    async def is_any_left(self, tenants: list[str]) -> bool:
        """Whether callbacks of any of these tenants wait (one slot in a Cluster)."""
        queues = [self._queue(tenant) for tenant in tenants]
        return bool(await self._broker.command(queues[0], "EXISTS", *queues))

    async def peek(self, tenant: str) -> bytes | None:
        """The callback whose turn it is."""
        queue = self._queue(tenant)
        return cast("bytes | None", await self._broker.command(queue, "LINDEX", queue, -1))

    async def deliver_big(
        self, tenant: str, raw: bytes, envelope: dict[str, Any] | None, verdict: str
    ) -> Delivered:
        """Take one large callback that was read here; `verdict` is '', 'result_too_large' or a dead letter's reason."""
        return await self._take(tenant, "deliver_big", raw, envelope=envelope or {}, verdict=verdict)

    async def deliver_huge(self, tenant: str) -> Delivered:
        """Take the callback at the tail, of `HUGE_BYTES` or more, without reading all of it."""
        arguments = self._broker.arguments(least=HUGE_BYTES)
        return _delivered((await self._broker.run("deliver_huge", self._queue(tenant), arguments))[0])

    async def bury(self, tenant: str, raw: bytes, reason: str) -> Delivered:
        """Move a callback that no attempt could deliver to the dead letters."""
        return await self._take(tenant, "bury", raw, reason=reason)

    async def _take(self, tenant: str, script: str, raw: bytes, **members: Any) -> Delivered:
        """Run a script that takes the callback at the tail if that is `raw`."""
        digest, places, pieces = await asyncio.to_thread(_identity, raw)
        arguments = self._broker.arguments(**members, size=len(raw), digest=digest, places=places)
        return _delivered((await self._broker.run(script, self._queue(tenant), arguments, *pieces))[0])


def _identity(raw: bytes) -> tuple[str, list[int], list[bytes]]:
    """What tells a script that a callback is the one that was read here: its digest, and pieces and their places.

    Of one over 1 MiB nothing is kept but whose ending it was: another one of the same length that has the same ends,
    and the same wherever that is told, would be judged alike. All of it would hold Redis twice as long.
    """
    places, piece = {0}, len(raw)
    if len(raw) > CALLBACK_BYTES_MAX:
        piece = _PIECE
        found = [find(name) for name in _DECISIVE for find in (raw.find, raw.rfind)]
        places = {0, len(raw) - piece, *(place for place in found if place >= 0)}
    digest = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    return digest, sorted(places), [raw[place : place + piece] for place in sorted(places)]
