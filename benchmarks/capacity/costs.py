"""What `orchestrator bench plan` goes by: calls, announcements, sockets, memory and claims, each measured by itself.

What an event and a message cost is taken from `results.json`, as `make bench` wrote it.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.capacity import calls, memory, page, sockets
from benchmarks.compare.results import JSON
from benchmarks.deployment import allow_files
from benchmarks.size import worker
from orchestrator.capacity import costs
from orchestrator.capacity.costs import Figure, known_figures, with_own

BY_BENCH: Final = "`make bench`"
BY_COSTS: Final = "`make bench ARGS=costs`"
FILE: Final = Path(costs.__file__).with_name("costs.json")


def options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: take results.json, renew the page"
    )
    parser.add_argument("--no-page", action="store_true", help="print, and leave all files alone")


def run(chosen: argparse.Namespace) -> None:
    """Measure, print, write `costs.json`, and run the commands of docs/capacity.md again."""
    figures = known_figures()
    if JSON.exists():
        figures = with_own(figures, JSON.read_bytes(), BY_BENCH)
    if not chosen.page:
        figures = with_own(figures, _document(_measured(figures)), BY_COSTS)
    for figure in figures:
        print(f"{figure.name:<26}{figure.value:>10g} {figure.unit:<4} {figure.source:<26} {figure.means}")
    if not chosen.no_page:
        FILE.write_text(_written(figures))
        page.PAGE.write_text(page.renewed(page.PAGE.read_text()))
        print(f"written: {FILE.name} and {page.PAGE.name}")


def _measured(figures: list[Figure]) -> dict[str, float]:
    allow_files(10_000)
    known = {figure.name: figure.value for figure in figures}
    found = {
        **asyncio.run(memory.measure()),
        **asyncio.run(sockets.measure()),
        **asyncio.run(calls.measure(valkey_us_per_event=known["valkey_us_per_event"])),
        **{figure.name: figure.value for figure in worker.figures(quick=True)},
    }
    # A difference of two measures may be lost in what else the machine does; a cost is above 0 all the same.
    return {name: max(value, 0.1) for name, value in found.items()}


def _document(values: Mapping[str, float]) -> bytes:
    figures = [{"name": name, "value": value} for name, value in values.items()]
    return json.dumps({"figures": figures}).encode()


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _written(figures: list[Figure]) -> str:
    rounded = (msgspec.structs.replace(figure, value=_rounded(figure.value)) for figure in figures)
    lines = (json.dumps(msgspec.to_builtins(figure), ensure_ascii=False) for figure in rounded)
    return '{"figures": [\n' + ",\n".join(f"  {line}" for line in lines) + "\n]}\n"
