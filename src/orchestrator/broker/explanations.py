"""What the dispatch knows of what waits and of who serves it, and what the service tells it of other agents."""

from collections.abc import Sequence
from typing import Final

import msgspec

from orchestrator.broker.dispatch import RunScript
from orchestrator.protocol.waiting import Place, Supply

EXPLAINED_AT_ONCE: Final = 20
QUEUES_AT_ONCE: Final = 200
_SLOT: Final = "{dispatch}:workers"

_encode: Final = msgspec.msgpack.Encoder().encode


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """An attempt that waits, as far as its record says."""

    task: str
    attempt: int
    context: str
    tier: str


class Turnover(msgspec.Struct, frozen=True, array_like=True):
    """What agents reported of one queue: how many tasks they began, which run, which no more."""

    context: str
    tier: str
    begun: int
    runs: list[tuple[str, int]]
    """With the moment until which each may run at the latest, µs."""
    over: list[str]


_explained: Final = msgspec.msgpack.Decoder(list[tuple[Place | bool, Supply]]).decode
_supplies: Final = msgspec.msgpack.Decoder(list[Supply]).decode


class Explanations:
    """Typed calls of `explain.lua`, `survey.lua` and `turnover.lua`. Raises what `run` raises."""

    def __init__(self, run: RunScript) -> None:
        self._run = run

    async def explain(self, home: str, asked: Sequence[Asked]) -> list[tuple[Place | None, Supply]]:
        """Where attempts of one tenant stand and what serves their queues, in the order asked.

        No place: the dispatch does not have it.
        """
        told: list[tuple[Place | None, Supply]] = []
        for start in range(0, len(asked), EXPLAINED_AT_ONCE):
            some = asked[start : start + EXPLAINED_AT_ONCE]
            explained = _explained(await self._run("explain", _SLOT, _encode((home, some))))
            told += [(None if isinstance(place, bool) else place, supply) for place, supply in explained]
        return told

    async def survey(self, queues: Sequence[tuple[str, str]]) -> list[Supply]:
        """What serves these queues, each named by context and tier."""
        told: list[Supply] = []
        for start in range(0, len(queues), QUEUES_AT_ONCE):
            flat = [part for queue in queues[start : start + QUEUES_AT_ONCE] for part in queue]
            told += _supplies(await self._run("survey", _SLOT, *flat))
        return told

    async def note(self, turnover: Sequence[Turnover]) -> None:
        """Keep what happened to queues. Not idempotent: a repeat counts what was begun twice."""
        await self._run("turnover", _SLOT, _encode(turnover))
