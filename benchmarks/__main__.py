"""What the service costs and what it withstands, measured on this machine: `python -m benchmarks NAME`.

The load runs on the same machine, so a rate says little; CPU per message comes from the kernel's accounting and
says more. Compare figures of one run, not of two machines.
"""

import argparse
import asyncio
import platform
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks import cancellation, drain, durability, fairness, holding, hostile, jitter, slow_readers
from benchmarks.deployment import Measured, deployment
from benchmarks.measures import Result, idle, latency, round_trips, streamed_events

MEASURES: tuple[Callable[[Measured], Coroutine[Any, Any, Result]], ...] = (
    lambda measured: streamed_events(measured, tasks=200, chunks=50),
    lambda measured: round_trips(measured, count=2_000),
    lambda measured: latency(measured, count=300),
    lambda measured: idle(measured, tenants=1_000, seconds=20),
)
PLAIN = {
    "messages": "what a message costs, in about a minute; what runs without a name",
    "hostile": "what peers cost that give nothing back, in about four minutes",
    "cancellation": "how fast a stop is, in about a minute",
    "fairness": "whose task is next, by three rules, in about two minutes",
    "holding": "how long one call holds Redis at the worst, in about a minute",
}
CHOSEN = {
    "drain": (drain, "what a deploy costs those who follow, in about a minute"),
    "slow-readers": (slow_readers, "what slow readers cost the others, in about two minutes"),
    "jitter": (jitter, "clients that lose their connection again and again, in about a minute and a half"),
    "durability": (durability, "what it costs to lose nothing to a power cut, in about two minutes"),
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = parser.add_subparsers(metavar="NAME")
    runs = {
        "messages": messages,
        "hostile": hostile.run,
        "cancellation": cancellation.run,
        "fairness": fairness.run,
        "holding": holding.run,
    }
    parser.set_defaults(run=lambda _: messages())
    for name, says in PLAIN.items():
        parts.add_parser(name, help=says).set_defaults(run=lambda _, run=runs[name]: run())
    for name, (part, says) in CHOSEN.items():
        found = parts.add_parser(name, help=says, description=part.__doc__)
        part.options(found)
        found.set_defaults(run=part.run)
    chosen = parser.parse_args()
    chosen.run(chosen)


def messages() -> None:
    """Run every measure and print a table."""
    print(f"Python {platform.python_version()}, {platform.machine()}; each measure takes some seconds")
    print(f"{'measure':<28}{'messages':>10}{'service µs':>12}{'valkey µs':>11}  note")
    with deployment() as measured:
        for measure in MEASURES:
            result = asyncio.run(measure(measured))
            costs = f"{result.service_us:>12.1f}{result.valkey_us:>11.1f}" if result.messages else " " * 23
            print(f"{result.name:<28}{result.messages or '':>10}{costs}  {result.note}", flush=True)


if __name__ == "__main__":
    main()
