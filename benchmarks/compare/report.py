"""The project and its peers under one load, in one run: what `make bench` writes to RESULTS.md."""

import argparse
import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import uvloop

from benchmarks import redis_cost, scaling
from benchmarks.compare import comparison, floor, langgraph, page, plots, results
from benchmarks.compare.comparison import Cost, Trips
from benchmarks.compare.goals import goals
from benchmarks.compare.results import Floor, Measured, Results, Row
from benchmarks.compare.subjects import Subject, orchestrator, peer, with_token
from benchmarks.deployment import allow_files
from benchmarks.figures import Figure
from benchmarks.peers.homes import LeftOutError
from benchmarks.peers.peer import PEERS
from benchmarks.peers.running import LOAD_CORE
from benchmarks.size import report as sizes

Measure = Callable[[Subject], Awaitable[Cost | Trips]]
Start = Callable[[], AbstractContextManager[Subject]]


class Size(NamedTuple):
    """How much of everything."""

    tasks: int
    chunks: int
    people: int
    each: int
    alone: int
    paced_seconds: float
    answers: int
    rounds: int
    """Of each the cheapest round counts: what made another dearer was the machine."""


FULL: Final = Size(1_000, 50, 200, 50, 1_000, 10, 20_000, rounds=3)
QUICK: Final = Size(200, 50, 100, 20, 50, 3, 10_000, rounds=1)
SOCKETS: Final = 100


def options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--quick", action="store_true", help="a smaller load, once, in under three minutes")
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="of the subjects this one; may be repeated"
    )
    parser.add_argument(
        "--no-page",
        action="store_true",
        help="print, and write no files (a smaller run writes to build/benchmarks/)",
    )


def run(chosen: argparse.Namespace) -> None:
    """Measure, print as it goes, write the page, the plots and `results.json`."""
    allow_files(30_000)
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    found = Report(QUICK if chosen.quick else FULL, chosen.only).results()
    whole = not chosen.quick and not chosen.only
    if whole:
        found = msgspec.structs.replace(found, figures=[*found.figures, *_of_the_parts()])
    for figure in found.figures:
        print(figure.line())
    if not chosen.no_page:
        _write(found, results.HERE if whole else results.PART)


def _write(found: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results.save(found, folder / "results.json")
    plots.draw(found, folder / "results.svg")
    (folder / "RESULTS.md").write_text(page.written(found))
    print(f"written: RESULTS.md, results.json and the plots, in {folder}/")


def _of_the_parts() -> Iterator[Figure]:
    """What is no comparison: Valkey by itself, many of everything, a second process."""
    for name, measure in (
        ("redis-cost", redis_cost.figures),
        ("size", sizes.figures),
        ("scaling", scaling.figures),
    ):
        print(name, flush=True)
        yield from measure()


class Report:
    """One run: every load on every subject, some rounds of that."""

    def __init__(self, size: Size, only: Sequence[str] | None) -> None:
        self._size = size
        self._only = only
        self._left_out: dict[str, str] = {}
        self._found: defaultdict[tuple[str, str], list[Measured]] = defaultdict(list)
        self._subjects: dict[str, Subject] = {}

    def results(self) -> Results:
        """All of it."""
        for number in range(self._size.rounds):
            print(f"round {number + 1} of {self._size.rounds}", flush=True)
            for name, (start, loads) in self._plan().items():
                self._measure(name, start, loads)
        best = {key: _best(found) for key, found in self._found.items()}
        bare = Floor(*(best["floor", load] for load in ("answer", "frame_each", "frame_together")))
        rows = [_row(subject, best) for name, subject in self._subjects.items() if name not in _NO_ROWS]
        return Results(
            command=" ".join(["python -m benchmarks", *sys.argv[1:]]),
            when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            commit=results.commit(),
            machine=results.machine(),
            versions=results.versions(),
            floor=bare,
            rows=rows,
            left_out=self._left_out,
            figures=goals(bare, rows, best),
        )

    def _plan(self) -> dict[str, tuple[Start, Mapping[str, Measure]]]:
        peers = {
            each.name: (
                lambda each=each: peer(each),
                _of_runs(self._size) if each.wire == "langgraph" else _of_all(self._size),
            )
            for each in PEERS
        }
        plan: dict[str, tuple[Start, Mapping[str, Measure]]] = {
            "floor": (floor.floor, _of_floor(self._size)),
            "orchestrator": (orchestrator, _of_all(self._size)),
            "other sockets": (orchestrator, _of_sockets(self._size)),
            "token": (with_token, {"trips": _of_all(self._size)["trips"]}),
            **peers,
        }
        return {name: part for name, part in plan.items() if name == "floor" or name in (self._only or plan)}

    def _measure(self, name: str, start: Start, loads: Mapping[str, Measure]) -> None:
        try:
            with start() as subject:
                self._subjects[name] = subject
                for load, measure in loads.items():
                    found = _measured(subject, measure)
                    self._found[name, load].append(found)
                    print(f"{name:<18}{load:<16}{_line(found)}", flush=True)
        except LeftOutError as error:
            self._left_out[name] = str(error)
            print(f"{name:<18}left out: {error}", flush=True)


_NO_ROWS: Final = ("floor", "other sockets", "token")


def _of_all(size: Size) -> dict[str, Measure]:
    return {
        "stream": lambda it: comparison.streamed(it, tasks=size.tasks, chunks=size.chunks, sockets=SOCKETS),
        "trips": lambda it: comparison.round_trips(it, people=size.people, each=size.each),
        "alone": lambda it: comparison.alone(it, count=size.alone),
        "paced": lambda it: comparison.paced(it, per_second=100, seconds=size.paced_seconds),
    }


def _of_sockets(size: Size) -> dict[str, Measure]:
    def over(sockets: int) -> Measure:
        return lambda it: comparison.streamed(it, tasks=size.tasks, chunks=size.chunks, sockets=sockets)

    return {f"stream_{sockets}": over(sockets) for sockets in (1, size.tasks)}


def _of_runs(size: Size) -> dict[str, Measure]:
    """A run of LangGraph's takes a second, so that there are fewer of them."""
    many = max(1, size.each // 10)
    return {
        "stream": lambda it: langgraph.streamed(it, people=20, chunks=size.chunks),
        "trips": lambda it: langgraph.runs(it, people=20, each=many, chunks=0),
        "alone": lambda it: langgraph.runs(it, people=1, each=5, chunks=0),
    }


def _of_floor(size: Size) -> dict[str, Measure]:
    return {
        "answer": lambda it: floor.answers(it, count=size.answers),
        "frame_each": lambda it: floor.frames(it, count=size.answers * 5, each=True),
        "frame_together": lambda it: floor.frames(it, count=size.answers * 5, each=False),
    }


def _measured(subject: Subject, measure: Measure) -> Measured:
    async def measuring() -> Cost | Trips:
        return await measure(subject)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measuring())
    cost, trips = (found.cost, found) if isinstance(found, Trips) else (found, None)
    return Measured(
        micros=cost.micros(),
        valkey_micros=cost.micros("valkey"),
        load_micros=cost.micros("load"),
        rate=cost.rate,
        busy=cost.busy(),
        load_busy=cost.busy("valkey") + cost.busy("load"),
        p50=trips and trips.p50,
        p99=trips and trips.p99,
    )


def _best(found: Sequence[Measured]) -> Measured:
    return min(found, key=lambda each: each.micros)


def _row(subject: Subject, best: Mapping[tuple[str, str], Measured]) -> Row:
    row = Row(subject.name, subject.says, subject.versions)
    loads = {load: found for (name, load), found in best.items() if name == subject.name}
    return msgspec.structs.replace(row, **loads)


def _line(found: Measured) -> str:
    times = "" if found.p50 is None else f"  p50 {found.p50:.2f} ms, p99 {found.p99:.2f} ms"
    return (
        f"{found.micros:>9.1f} µs each, Valkey {found.valkey_micros:.1f}, load {found.load_micros:.1f}; "
        f"{found.rate:>8,.0f}/s at {found.busy:.0%} of the service's core, {found.load_busy:.0%} of the other{times}"
    )
