"""What the service costs and what it withstands, measured on this machine: `python -m benchmarks [NAME]`.

Without a name: the service and its peers under one load (`compare`). The load runs on the same machine, so a rate
says little; CPU per message comes from the kernel's accounting and says more. Compare figures of one run, not of two
machines.
"""

import argparse
from collections.abc import Callable
from functools import partial

from benchmarks import (
    cancellation,
    drain,
    durability,
    hostile,
    jitter,
    redis_cost,
    scaling,
    slow_readers,
    valkey,
)
from benchmarks.capacity import costs
from benchmarks.compare import report
from benchmarks.fairness import report as fairness
from benchmarks.holding import report as holding
from benchmarks.size import report as sizes

PLAIN = {
    "hostile": (hostile, "what peers cost that give nothing back, in about four minutes"),
    "cancellation": (cancellation, "how fast a stop is, in about a minute"),
    "fairness": (fairness, "whose task is next, by three rules, in about two minutes"),
    "scaling": (scaling, "what a second process on the port brings, in about a minute"),
    "holding": (holding, "how long one call holds Redis at the worst, in about a minute"),
    "redis-cost": (redis_cost, "what Valkey spends on an event of the way back, in about half a minute"),
}
CHOSEN = {
    "compare": (
        report,
        "the service beside its peers, and all that has a goal, in some 17 minutes",
    ),
    "costs": (costs, "what `orchestrator bench plan` goes by, in about three minutes"),
    "drain": (drain, "what a deploy costs those who follow, in about a minute"),
    "slow-readers": (slow_readers, "what slow readers cost the others, in about two minutes"),
    "jitter": (jitter, "clients that lose their connection again and again, in about a minute and a half"),
    "size": (sizes, "what many sockets, tenants and sessions cost, and a worker, in about four minutes"),
    "durability": (durability, "what it costs to lose nothing to a power cut, in about two minutes"),
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    report.options(parser)
    parser.set_defaults(run=report.run)
    parts = parser.add_subparsers(metavar="NAME")
    for name, (part, says) in CHOSEN.items():
        found = parts.add_parser(name, help=says, description=part.__doc__)
        part.options(found)
        found.set_defaults(run=part.run)
    for name, (part, says) in PLAIN.items():
        found = parts.add_parser(name, help=says, description=part.__doc__)
        found.set_defaults(run=partial(_run_plain, part.run))
    chosen = parser.parse_args()
    valkey.preload()
    chosen.run(chosen)


def _run_plain(run: Callable[[], None], _: argparse.Namespace) -> None:
    run()


if __name__ == "__main__":
    main()
