"""How long queues are and how old their oldest element is."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, cast

import msgspec

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.explanations import Explanations
from orchestrator.broker.keys import place_of
from orchestrator.broker.roster import Roster
from orchestrator.protocol.times import micros
from orchestrator.protocol.waiting import Supply, eta_of_newcomer, is_deserted, why_it_stands

QUEUES_MAX: Final = 5_000


class QueueRow(msgspec.Struct, frozen=True):
    """One line of `/metrics/queues`; no age where the elements bear no time, or there is none."""

    name: str
    kind: Literal["execution", "callbacks"]
    depth: int
    oldest_age_seconds: float | None
    workers: int | None = None
    """Live workers of the SDK that serve it; None where other agents do, of which nobody knows how many there are."""
    running: int | None = None
    """Tasks of it that agents have."""
    rate_per_minute: float | None = None
    """How many of its tasks agents began of late."""
    waiting_for: str | None = None
    eta_seconds: tuple[int, int] | None = None
    """Until an agent would begin a task that came now, at least and at most; None where nobody can say."""


class _Created(msgspec.Struct):
    created_at: str = ""


_created: Final = msgspec.json.Decoder(_Created).decode


class Queues:
    """Surveys the lists of the deployment."""

    def __init__(self, broker: Broker, agenda: Agenda, roster: Roster) -> None:
        self._broker = broker
        self._agenda = agenda
        self._roster = roster
        self._explanations = Explanations(broker.run)

    async def survey(self, noted: list[str]) -> list[QueueRow]:
        """Execution queues used within a week (and those just `noted`), callback queues of tenants active of late."""
        tenants = await self._agenda.tenants()
        execution = sorted({*noted, *await self._roster.queues()})[:QUEUES_MAX]
        callbacks = sorted(self._broker.keys.callbacks(tenant) for tenant in tenants)[:QUEUES_MAX]
        rows = await asyncio.gather(*(self._row(name, "execution") for name in execution))
        others = await asyncio.gather(*(self._row(name, "callbacks") for name in callbacks))
        return [*await self._explained(rows), *others]

    async def _explained(self, rows: Sequence[QueueRow]) -> list[QueueRow]:
        """The rows of execution queues, with what is known of their agents."""
        places = [place_of(row.name) for row in rows]
        waiting = Counter[str]()
        for row, (context, _) in zip(rows, places, strict=True):
            waiting[context] += row.depth
        supplies = await self._explanations.survey(places)
        return [
            _with_supply(row, context, waiting[context], supply)
            for row, (context, _), supply in zip(rows, places, supplies, strict=True)
        ]

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


def _with_supply(row: QueueRow, context: str, waiting: int, supply: Supply) -> QueueRow:
    """`waiting` counts the tasks of all tiers: their order is not that of one queue."""
    return msgspec.structs.replace(
        row,
        workers=supply.workers if supply.workers or is_deserted(supply) else None,
        running=supply.running,
        rate_per_minute=round(supply.starts, 1),
        waiting_for=why_it_stands(context, row.depth, row.oldest_age_seconds, supply),
        eta_seconds=eta_of_newcomer(waiting if supply.workers else row.depth, supply),
    )
