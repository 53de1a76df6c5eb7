"""RESULTS.md: what a run of the report found, for people."""

from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.compare.floor import FRAME_BYTES
from benchmarks.compare.results import Measured, Results, Row
from benchmarks.figures import Figure, goal_of
from benchmarks.figures import rounded as number

_NOTE: Final = """\
The service has one core, Valkey, load and agents have the other. CPU is the kernel's accounting (`/proc/…/schedstat`):
what else takes its turn on a core makes it dearer only by what it drives out of the caches, while it spoils a rate or a
latency wholly. Of each load the cheapest round counts, for everybody. Valkey writes an append-only file for everybody,
and rewrites it for nobody: its child would need a core of its own. Read ratios within this page, not figures across
machines.
"""
_SIDE: Final = """\
CPU of the service's process, µs; in brackets times ours. The worker of BullMQ emits into the sockets' rooms by itself:
the server of `socketio_bullmq` sees no answer pass, keeps no log and repeats nothing, and its worker's CPU stands under
*load*. A run of LangGraph counts with its request and its agent, which run in the server.
"""
_BUSY: Final = """\
Whether the load held the service back: what came in a second, the share of the service's core, and the share of the
other core that Valkey, load and agents took together.
"""
_AGAIN: Final = """\
`make bench` takes some 17 minutes, `make bench-quick` less than three minutes; `make bench ARGS=--help`
lists what else can be measured.
"""


def written(found: Results) -> str:
    """The whole page."""
    parts = [
        "# Results",
        f"Written by `{found.command}` on {found.when}, of version `{found.commit}`.",
        f"Machine: {found.machine}.\n{found.versions}.",
        _NOTE.strip(),
        "## Goals",
        _goals(found.figures),
        "## Side by side",
        "![CPU of a streamed event and of a round trip, by subject](results.svg)",
        _SIDE.strip(),
        _side_by_side(found.rows),
        _floor(found),
        "## Who was busy",
        _BUSY.strip(),
        _busy(found.rows),
        "## Who they are",
        _who(found),
        "## Again on your machine",
        _AGAIN.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _goals(figures: Sequence[Figure]) -> str:
    words = {True: "met", False: "**missed**", None: ""}
    lines = [
        [
            figure.says,
            f"{number(figure.value)} {figure.unit}",
            goal_of(figure),
            words[figure.met],
            figure.note,
        ]
        for figure in figures
    ]
    return _table(["measure", "found", "goal", "", ""], lines)


def _side_by_side(rows: Sequence[Row]) -> str:
    ours = next((row for row in rows if row.name == "orchestrator"), None)
    head = ["", "streamed event", "round trip, saturated", "round trip at 100/s", "alone: p50 / p99 ms"]
    lines = [
        [
            f"**{row.name}**" if row is ours else row.name,
            _times(row.stream, ours and ours.stream),
            _times(row.trips, ours and ours.trips),
            _times(row.paced, ours and ours.paced),
            _latency(row.alone),
        ]
        for row in rows
    ]
    return _table(head, lines)


def _times(found: Measured | None, ours: Measured | None) -> str:
    if found is None:
        return "–"
    return number(found.micros) + (
        "" if ours is None or ours is found else f" ({found.micros / ours.micros:.1f})"
    )


def _latency(found: Measured | None) -> str:
    if found is None or found.p50 is None or found.p99 is None:
        return "–"
    return f"{number(found.p50)} / {number(found.p99)}"


def _floor(found: Results) -> str:
    answer, each, together = (number(part.micros) for part in msgspec.structs.astuple(found.floor))
    return (
        f"The floor, uvicorn with nothing behind it: {answer} µs an answer, {each} µs a frame of {FRAME_BYTES} bytes "
        f"that is sent by itself, {together} µs one of many that go out together."
    )


def _busy(rows: Sequence[Row]) -> str:
    def shares(found: Measured | None) -> str:
        return "–" if found is None else f"{found.rate:,.0f}/s · {found.busy:.0%} · {found.load_busy:.0%}"

    def beside(found: Measured | None) -> str:
        return "–" if found is None else f"{number(found.valkey_micros)} / {number(found.load_micros)}"

    head = [
        "rate · service · the other core",
        "streamed events",
        "Valkey / load, µs",
        "round trips",
        "Valkey / load, µs",
    ]
    return _table(
        head,
        [
            [row.name, shares(row.stream), beside(row.stream), shares(row.trips), beside(row.trips)]
            for row in rows
        ],
    )


def _who(found: Results) -> str:
    lines = [f"- **{row.name}**: {row.says}. {row.versions}." for row in found.rows]
    lines += [f"- **{name}**: left out, {why}" for name, why in found.left_out.items()]
    return "\n".join(lines)
