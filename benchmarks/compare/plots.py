"""The plot of RESULTS.md: what an event and a round trip cost, by subject."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from benchmarks.compare.results import Measured, Results, Row
from benchmarks.figures import rounded as number

OURS, THEIRS = "#1b6ca8", "#9aa5b1"
_PARTS: Final[Sequence[tuple[str, Callable[[Row], Measured | None]]]] = (
    ("a streamed event", lambda row: row.stream),
    ("a round trip, saturated", lambda row: row.trips),
    ("a round trip at 100/s", lambda row: row.paced),
)


def draw(found: Results, path: Path) -> None:
    """One picture with a part for each load; the same bytes for the same figures."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "results"
    mpl.rcParams["font.size"] = 9
    mpl.rcParams["axes.spines.top"] = mpl.rcParams["axes.spines.right"] = False
    from matplotlib import pyplot as plt  # noqa: PLC0415 - it has to know first where to draw

    shown: Any = plt
    figure, axes = shown.subplots(1, len(_PARTS), figsize=(11, 2.8), layout="constrained")
    for axis, (title, part) in zip(axes, _PARTS, strict=True):
        measured = [(row, each) for row in reversed(found.rows) if (each := part(row)) is not None]
        _bars(axis, title, [(row.name, each.micros) for row, each in measured])
    figure.savefig(path, metadata={"Date": None})
    shown.close(figure)


def _bars(axis: Any, title: str, costs: Sequence[tuple[str, float]]) -> None:
    names = [name for name, _ in costs]
    colours = [OURS if name == "orchestrator" else THEIRS for name in names]
    bars = axis.barh(names, [micros for _, micros in costs], color=colours)
    axis.bar_label(bars, [number(micros) for _, micros in costs], padding=3)
    axis.set_xscale("log")
    axis.margins(x=0.25)
    axis.set_title(f"{title}, µs of CPU")
