"""What sockets weigh and cost, connecting, resuming, growth, and a worker: one core for what is measured."""

import argparse
from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.figures import Figure
from benchmarks.size import connects, growth, resume, sockets, worker

PARTS: Final[Mapping[str, Callable[..., list[Figure]]]] = {
    "sockets": sockets.figures,
    "connects": connects.figures,
    "resume": resume.figures,
    "growth": growth.figures,
    "worker": worker.figures,
}


def options(parser: argparse.ArgumentParser) -> None:
    """Which parts, and whether smaller numbers will do."""
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them by default"
    )
    parser.add_argument("--quick", action="store_true", help="fewer of everything, in under two minutes")


def figures(*, quick: bool = False, parts: list[str] | None = None) -> list[Figure]:
    """The figures of all these parts, as they are printed one by one."""
    found: list[Figure] = []
    for part in parts or list(PARTS):
        some = PARTS[part](quick=quick)
        for figure in some:
            print(figure.line(), flush=True)
        found += some
    return found


def run(chosen: argparse.Namespace) -> None:
    """Print a table."""
    for part in chosen.parts:
        if part not in PARTS:
            raise SystemExit(f"{part!r} is none of {', '.join(PARTS)}")
    figures(quick=chosen.quick, parts=chosen.parts)
