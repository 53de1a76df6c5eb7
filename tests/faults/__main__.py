"""`python -m tests.faults`: the promise as an experiment.

Thousands of messages of many tenants, three replicas, workers of both kinds, clients whose sockets
break all the time. Meanwhile faults strike at instants drawn from a seed. In the end each accepted
message has to have one ending that its client has seen, every client's sequence has to be without a
hole or a repeat, every answer whole, and nothing may be left in Redis. Exit code 0: the promise was
kept; 1: it was not, and the history of what went wrong is printed.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.faults.catalogue import FAULTS
from tests.faults.fault import Fault
from tests.faults.report import table
from tests.faults.runs import run

_LASTING: Final = 0.8
"""The share of the time in which nothing that Redis confirmed is taken back."""


def main() -> int:
    """Run what was asked for; the exit code."""
    asked = _arguments().parse_args()
    outcomes = [
        asyncio.run(run(seconds, asked.seed, faults, at_once=asked.at_once, keep=asked.keep))
        for seconds, faults in _parts(asked.seconds, asked.only)
    ]
    for outcome in outcomes:
        for history in outcome.histories:
            print(history)
        print(json.dumps(outcome.figures) if asked.json else table(outcome.figures))
    return int(any(outcome.histories for outcome in outcomes))


def _arguments() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {fault.name:<20}{_first_line(fault)}" for fault in FAULTS)
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        epilog=f"faults:\n{faults}\n\nexample:\n  make faults ARGS='--seconds 60 --only replica_killed,worker_killed'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=220, help="how long messages are sent (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="another seed, another order of events (%(default)s)"
    )
    parser.add_argument("--only", default="", metavar="FAULT,…", help="these faults instead of all of them")
    parser.add_argument(
        "--at-once", type=int, default=2, metavar="N", help="faults in the second half (%(default)s)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave logs and data in a folder below this")
    parser.add_argument("--json", action="store_true", help="the figures as a JSON object")
    return parser


def _parts(seconds: float, only: str) -> Iterator[tuple[float, Sequence[type[Fault]]]]:
    """Faults that take writes back have a run of their own, since less can be promised then."""
    lasting = [fault for fault in _chosen(only) if not fault.takes_back]
    losing = [fault for fault in _chosen(only) if fault.takes_back]
    if lasting:
        yield seconds * (_LASTING if losing else 1), lasting
    if losing:
        yield seconds * (1 - _LASTING if lasting else 1), losing


def _chosen(only: str) -> Sequence[type[Fault]]:
    by_name = {fault.name: fault for fault in FAULTS}
    names = [name.strip() for name in only.split(",") if name.strip()] or list(by_name)
    if unknown := set(names) - set(by_name):
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(by_name)}")
    return [by_name[name] for name in names]


def _first_line(fault: type[Fault]) -> str:
    return (fault.__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
