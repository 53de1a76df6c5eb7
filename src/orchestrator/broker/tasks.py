"""Records of tasks: read, cancel, and what is due; a tenant's figures."""

import asyncio
import math
from collections.abc import Sequence
from typing import Final, Literal, cast

import msgspec

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import Ended, Move
from orchestrator.broker.errands import Errand, Errands

Record = dict[str, bytes]
"""A task's hash as it is kept: see docs/redis-keys.md."""

CancelCode = Literal["cancelled", "suspended"]

UNPUSHED_PATIENCE_MICROS: Final = 10_000_000


class Cancelled(msgspec.Struct, frozen=True):
    """What a cancellation found, and what may have to leave its queue."""

    outcome: Literal["cancelled", "ended", "not_found"]
    ended: list[Ended] = []
    errands: list[Errand] = []


class Retried(msgspec.Struct, frozen=True):
    """What became of a task whose worker is gone."""

    outcome: Literal["retried", "ended", "stale", "not_found"]
    due: int
    """When the next attempt is to be pushed, µs; 0: there is none."""
    ended: list[Ended]
    moves: list[Move]


class Wait(msgspec.Struct, frozen=True, array_like=True):
    """A task that waits for an agent, and whose viewers are to be told why."""

    task: str
    attempt: int
    status: str
    context: str
    tier: str
    queue: str
    waited_micros: int
    due_micros: int
    """Until its attempt is to be pushed; 0 or less: it was."""
    held: bool = False


class Tended(msgspec.Struct, frozen=True):
    """What was due; `next` is the next look in microseconds, 0 when there is nothing to look after."""

    ended: list[Ended]
    next: int
    waiting: int
    lost: int
    """Attempts whose lease was over."""
    errands: list[Errand]
    turns: list[str]
    """Sessions with held messages, one of which may have its turn."""
    waits: list[Wait]
    moves: list[Move]


class Tell(msgspec.Struct, frozen=True, array_like=True):
    """Members of a `task_update` as JSON, for a task whose attempt still waits; whether they say anything."""

    task: str
    attempt: int
    members: str
    says: bool


class DuePushes(msgspec.Struct, frozen=True):
    """Attempts that should be on their queues; `next` is when the next one is due (µs), 0: none."""

    errands: list[Errand]
    next: int


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
_retried: Final = msgspec.msgpack.Decoder(Retried).decode
_tended: Final = msgspec.msgpack.Decoder(Tended).decode
_due_pushes: Final = msgspec.msgpack.Decoder(DuePushes).decode
_figures: Final = msgspec.msgpack.Decoder(Figures).decode


class Tasks:
    """Typed calls of the scripts that look after a tenant's tasks, and reads of records."""

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

    async def ahead(self, queue: str, task: str, attempt: int, within: int = 0) -> tuple[int | None, bool]:
        """How many attempts an agent takes from the queue before this one; None where it is not there.

        With `within`, only so many are looked at: the second value says whether it may lie further back.
        """
        marker = f"{{{queue}}}:t:{task}:{attempt}"
        payload = await self._broker.command(marker, "GET", marker)
        if payload in {None, b"taken", b"void"}:
            return None, False
        index, length = await asyncio.gather(
            self._broker.command(queue, "LPOS", queue, payload, "RANK", -1, "MAXLEN", within),
            self._broker.command(queue, "LLEN", queue),
        )
        if index is None:
            return None, 0 < within < length
        return max(0, length - 1 - index), False

    async def due(self, tenant: str, task: str) -> int:
        """Until the task's attempt is to be pushed, µs; 0 or less where it was."""
        key = self._broker.keys.of_tenant(tenant, "unpushed")
        score = await self._broker.command(key, "ZSCORE", key, task)
        return int(float(score)) + UNPUSHED_PATIENCE_MICROS - self._broker.clock.now() if score else 0

    async def outstanding(self, tenant: str, start: int, count: int) -> list[str]:
        """A page of the tasks without an ending, the next deadline first."""
        key = self._broker.keys.of_tenant(tenant, "outstanding")
        page = cast("list[bytes]", await self._broker.command(key, "ZRANGE", key, start, start + count - 1))
        return [task.decode() for task in page]

    async def cancel(
        self, tenant: str, task: str, user: str, code: CancelCode = "cancelled", session: str = ""
    ) -> tuple[Cancelled, Errands]:
        """End a task as cancelled, one of `session` only where that is given; ended ones stay as they ended.

        Idempotent.
        """
        arguments = self._broker.arguments(task=task, user=user, code=code, session=session)
        first, *payloads = await self._broker.run("cancel", self._queue(tenant), arguments)
        cancelled = _cancelled(first)
        return cancelled, _paired(cancelled.errands, payloads)

    async def retry(self, tenant: str, task: str, attempt: int) -> Retried:
        """Begin the attempt after one whose worker is gone, or end the task where there were enough. Idempotent."""
        arguments = self._broker.arguments(task=task, attempt=attempt)
        return _retried(await self._broker.run("retry", self._queue(tenant), arguments))

    async def tend(self, tenant: str, heard: float = math.inf) -> tuple[Tended, Errands]:
        """End what is overdue, retry what was lost, list what is to be pushed. Idempotent.

        `heard` is for how many seconds agents could be heard: a lease that is longer is not over yet.
        """
        arguments = self._broker.arguments(heard=heard * 1_000_000)
        first, *payloads = await self._broker.run("tend", self._queue(tenant), arguments)
        tended = _tended(first)
        return tended, _paired(tended.errands, payloads)

    async def due_pushes(self, tenant: str) -> tuple[DuePushes, Errands]:
        """The attempts that should be on their queues by now. Idempotent."""
        first, *payloads = await self._broker.run("due_pushes", self._queue(tenant))
        due = _due_pushes(first)
        return due, _paired(due.errands, payloads)

    async def tell(self, tenant: str, tells: Sequence[Tell]) -> int:
        """Tell the viewers of waiting tasks why they wait, where that is news; the number of events. Idempotent."""
        return int(await self._broker.run("tell", self._queue(tenant), self._broker.arguments(tells=tells)))

    async def figures(self, tenant: str) -> Figures:
        """What the tenant has open and what it did in the last hour and day."""
        return _figures(await self._broker.run("stats", self._queue(tenant), b""))


def _paired(errands: list[Errand], payloads: list[bytes]) -> Errands:
    return list(zip(errands, payloads, strict=True))
