"""How long queues are and how old their oldest element is; dead letters."""

import asyncio
import hashlib
from typing import Any, Final, Literal, cast

import msgspec

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.roster import Roster
from orchestrator.protocol.times import micros, rfc3339

QUEUES_MAX: Final = 5_000

_head: Final = msgspec.msgpack.Decoder(tuple[str, int, int, str]).decode


class QueueRow(msgspec.Struct, frozen=True):
    """One line of `/metrics/queues`; no age where the elements bear no time, or there is none."""

    name: str
    kind: Literal["execution", "callbacks"]
    depth: int
    oldest_age_seconds: float | None


class _Created(msgspec.Struct):
    created_at: str = ""


class DeadLetter(msgspec.Struct, frozen=True):
    """A callback that could not be used: why, when, and what it was (cut at 64 KiB)."""

    id: str
    """Tells it from the tenant's others; from its time and content."""
    reason: str
    buried_at: str
    size: int
    sha1: str
    """Of the whole, where it was cut."""
    callback: str


_created: Final = msgspec.json.Decoder(_Created).decode


class Queues:
    """Surveys the lists of the deployment."""

    def __init__(self, broker: Broker, agenda: Agenda, roster: Roster) -> None:
        self._broker = broker
        self._agenda = agenda
        self._roster = roster

    async def survey(self, noted: list[str]) -> list[QueueRow]:
        """Execution queues used within a week (and those just `noted`), callback queues of tenants active of late."""
        tenants = await self._agenda.tenants()
        execution = sorted({*noted, *await self._roster.queues()})[:QUEUES_MAX]
        callbacks = sorted(self._broker.keys.callbacks(tenant) for tenant in tenants)[:QUEUES_MAX]
        rows = [self._row(name, "execution") for name in execution]
        rows += [self._row(name, "callbacks") for name in callbacks]
        return list(await asyncio.gather(*rows))

    async def dead_letters(self, tenant: str, start: int = 0, count: int = 1_000) -> list[DeadLetter]:
        """A tenant's dead letters, the newest first."""
        key = self._broker.keys.of_tenant(tenant, "dead")
        entries = cast(
            "list[bytes]", await self._broker.command(key, "LRANGE", key, start, start + count - 1)
        )
        return [_dead_letter(entry) for entry in entries]

    async def _row(self, name: str, kind: Literal["execution", "callbacks"]) -> QueueRow:
        depth = cast("int", await self._broker.command(name, "LLEN", name))
        age = None
        if depth and kind == "execution":
            age = self._age(await self._broker.command(name, "LINDEX", name, -1))
        return QueueRow(name, kind, depth, age)

    def _age(self, payload: Any) -> float | None:
        try:
            created = micros(_created(payload or b"{}").created_at)
        except (msgspec.MsgspecError, ValueError):
            return None
        return round(max(0, self._broker.clock.now() - created) / 1e6, 3)


def _dead_letter(entry: bytes) -> DeadLetter:
    split = 2 + int.from_bytes(entry[:2])
    reason, at, size, digest = _head(entry[2:split])
    name = hashlib.sha256(entry).hexdigest()[:12]
    return DeadLetter(name, reason, rfc3339(at), size, digest, entry[split:].decode("utf-8", "replace"))
