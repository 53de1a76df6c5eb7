"""Whether an event or a round trip has become much dearer: `make gate`, about half a minute.

Times depend on the machine and on what else it does. So what is held is a ratio: CPU of the service against CPU of
bare uvicorn, which does the nearest to nothing, measured in turn in one run; of each the cheapest round. Even so a
ratio wanders by a third, and it fails only where it is over `MARGIN` times what was last written down.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import uvloop

from benchmarks.compare import comparison, floor
from benchmarks.compare.comparison import Cost
from benchmarks.compare.subjects import Subject, orchestrator
from benchmarks.deployment import allow_files
from benchmarks.peers.running import LOAD_CORE

MARGIN: Final = 2.0
ROUNDS: Final = 3


class Ratio(NamedTuple):
    """What is held: a cost in that of the floor."""

    says: str
    of: str
    per: str
    written_down: float


RATIOS: Final = (
    Ratio("a streamed event, in bare frames", "event", "frame", 2.0),
    Ratio("a round trip, in bare answers", "trip", "answer", 9.0),
)


def main() -> None:
    """Print what each ratio is; exit code 1 where one is beyond the margin."""
    allow_files(10_000)
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    found = _measured()
    beyond = [ratio for ratio in RATIOS if not _told(ratio, found)]
    if beyond:
        print(
            "Something that every message passes has become dearer: `make bench ARGS=--help` finds out what."
        )
    sys.exit(1 if beyond else 0)


def _told(ratio: Ratio, found: dict[str, float]) -> bool:
    """Whether it is within the margin; printed."""
    now = found[ratio.of] / found[ratio.per]
    fine = now <= ratio.written_down * MARGIN
    print(
        f"{ratio.says:<36}{now:>6.1f}  ({found[ratio.of]:.1f} µs to {found[ratio.per]:.1f} µs; "
        f"was {ratio.written_down:g}, fails beyond {ratio.written_down * MARGIN:g})  {'fine' if fine else 'BEYOND'}",
        flush=True,
    )
    return fine


def _measured() -> dict[str, float]:
    """CPU of the service each, µs; the least of the rounds."""
    rounds = [{**_floor(), **_service()} for _ in range(ROUNDS)]
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


def _floor() -> dict[str, float]:
    with floor.floor() as subject:
        return {
            "answer": _micros(subject, lambda it: floor.answers(it, count=10_000)),
            "frame": _micros(subject, lambda it: floor.frames(it, count=30_000, each=True)),
        }


def _service() -> dict[str, float]:
    async def trips(subject: Subject) -> Cost:
        return (await comparison.round_trips(subject, people=50, each=40)).cost

    with orchestrator() as subject:
        return {
            "event": _micros(subject, lambda it: comparison.streamed(it, tasks=200, chunks=50, sockets=100)),
            "trip": _micros(subject, trips),
        }


def _micros(subject: Subject, measure: Callable[[Subject], Awaitable[Cost]]) -> float:
    async def measuring() -> Cost:
        return await measure(subject)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measuring()).micros()


if __name__ == "__main__":
    main()
