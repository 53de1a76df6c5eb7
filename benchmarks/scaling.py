"""What a second process on the same port brings: `serve --workers 2` against one.

Two processes and the load need three cores to show it by a rate. So it is told by cost: who does the same for c times
the CPU does 2/c times as much with two cores, as long as neither waits for the other and Valkey has a core to itself.
"""

import asyncio
from typing import Final

import uvloop

from benchmarks.compare import comparison
from benchmarks.compare.subjects import Subject, orchestrator
from benchmarks.figures import Figure

ROUNDS: Final = 3
WORKERS: Final = (1, 2)
GOAL: Final = 1.8


def run() -> None:
    """Print what was found."""
    for figure in figures():
        print(figure.line(), flush=True)


def figures(rounds: int = ROUNDS) -> list[Figure]:
    """How many times as much two processes do as one does."""
    found = [{workers: _costs(workers) for workers in WORKERS} for _ in range(rounds)]
    events, trips = (
        {workers: min(each[workers][place] for each in found) for workers in WORKERS} for place in (0, 1)
    )
    return [
        _figure("scaling_events", "events of two processes in those of one", events),
        _figure("scaling_trips", "round trips of two processes in those of one", trips),
    ]


def _figure(name: str, says: str, micros: dict[int, float]) -> Figure:
    note = f"{micros[1]:.1f} µs each with one, {micros[2]:.1f} with two"
    value = 2 * micros[1] / micros[2]
    return Figure(name=name, says=says, value=value, unit="×", goal=GOAL, better="more", note=note)


def _costs(workers: int) -> tuple[float, float]:
    """CPU of an event and of a round trip, µs, of all processes together."""

    async def measuring(subject: Subject) -> tuple[float, float]:
        event = await comparison.streamed(subject, tasks=400, chunks=50, sockets=100)
        trip = await comparison.round_trips(subject, people=100, each=40)
        return event.micros(), trip.cost.micros()

    with (
        orchestrator(workers=workers) as subject,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(measuring(subject))
