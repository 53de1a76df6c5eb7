"""Records of tasks: read, cancel, and what is due; a tenant's figures."""

import asyncio
from typing import Any, Final, Literal, cast

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Ended

Record = dict[str, bytes]
"""A task's hash as it is kept: see docs/redis-keys.md."""

CancelCode = Literal["cancelled", "suspended"]

UNPUSHED_PATIENCE_MICROS: Final = 10_000_000


class Cancelled(msgspec.Struct, frozen=True):
    """What a cancellation found; with it comes the payload that may still wait on `queue`."""

    outcome: Literal["cancelled", "ended", "not_found"]
    queue: str
    attempt: int
    left: int
    """Milliseconds for which the marker of the attempt has to live."""
    ended: list[Ended] = []


class Errand(msgspec.Struct, frozen=True, array_like=True):
    """A push to repeat, or with `withdraw` an attempt to take off its queue."""

    task: str
    attempt: int
    queue: str
    marker_ms: int
    withdraw: bool


class Tended(msgspec.Struct, frozen=True):
    """What was due; `next` is the next look in microseconds, 0 when there is nothing to look after."""

    ended: list[Ended]
    next: int
    waiting: int
    errands: list[Errand]


class Figures(msgspec.Struct, frozen=True):
    """A tenant's counts; `hour` and `day` are sums of fields like `tasks|completed`."""

    outstanding: int
    running: int
    bytes: int
    callbacks: int
    dead: int
    hour: list[tuple[str, int]]
    day: list[tuple[str, int]]


_cancelled: Final = msgspec.msgpack.Decoder(Cancelled).decode
_tended: Final = msgspec.msgpack.Decoder(Tended).decode
_figures: Final = msgspec.msgpack.Decoder(Figures).decode


class Tasks:
    """Typed calls of `cancel.lua`, `tend.lua` and `stats.lua`, and reads of records."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._queue = broker.keys.callbacks

    async def record(self, tenant: str, task: str, user: str = "", session: str = "") -> Record | None:
        """The task's record; None where this tenant has no such task, or none that `user` may see.

        With `session`, none of another session. '' is whoever may see everything of the tenant.
        """
        reply = await self._broker.run("task", self._queue(tenant), task, user, session)
        flat = cast("list[bytes]", reply)
        return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)} or None

    async def ahead(self, queue: str, payload: bytes) -> int | None:
        """How many tasks an agent takes before this one; None where it no longer waits."""
        index, length = await asyncio.gather(
            self._broker.command(queue, "LPOS", queue, payload, "RANK", -1),
            self._broker.command(queue, "LLEN", queue),
        )
        return None if index is None else max(0, length - 1 - index)

    async def outstanding(self, tenant: str, start: int, count: int) -> list[str]:
        """A page of the tasks without an ending, the next deadline first."""
        key = self._broker.keys.of_tenant(tenant, "outstanding")
        page = cast("list[bytes]", await self._broker.command(key, "ZRANGE", key, start, start + count - 1))
        return [task.decode() for task in page]

    async def cancel(
        self, tenant: str, task: str, user: str, code: CancelCode = "cancelled", session: str = ""
    ) -> tuple[Cancelled, bytes]:
        """End a task as cancelled, one of `session` only where that is given; ended ones stay as they ended.

        Idempotent.
        """
        arguments = self._broker.arguments(task=task, user=user, code=code, session=session)
        reply: list[Any] = await self._broker.run("cancel", self._queue(tenant), arguments)
        return _cancelled(reply[0]), reply[1]

    async def tend(self, tenant: str) -> tuple[Tended, list[bytes]]:
        """End what is overdue, list what was never pushed. Idempotent."""
        arguments = self._broker.arguments(patience=UNPUSHED_PATIENCE_MICROS)
        first, *payloads = await self._broker.run("tend", self._queue(tenant), arguments)
        return _tended(first), payloads

    async def figures(self, tenant: str) -> Figures:
        """What the tenant has open and what it did in the last hour and day."""
        return _figures(await self._broker.run("stats", self._queue(tenant), b""))
