"""`python -m benchmarks`: what a message costs on this machine, in about a minute; `… hostile`: what peers cost that
give nothing back, in about four; `… cancellation`: how fast a stop is, in about one; `… fairness`: whose
task is next, by three rules, in about two.

The load runs on the same machine, so a rate says little; CPU per message comes from the kernel's accounting and
says more. Compare figures of one run, not of two machines.
"""

import argparse
import asyncio
import platform
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks import cancellation, fairness, hostile
from benchmarks.deployment import Measured, deployment
from benchmarks.measures import Result, idle, latency, round_trips, streamed_events

MEASURES: tuple[Callable[[Measured], Coroutine[Any, Any, Result]], ...] = (
    lambda measured: streamed_events(measured, tasks=200, chunks=50),
    lambda measured: round_trips(measured, count=2_000),
    lambda measured: latency(measured, count=300),
    lambda measured: idle(measured, tenants=1_000, seconds=20),
)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = {
        "messages": messages,
        "hostile": hostile.run,
        "cancellation": cancellation.run,
        "fairness": fairness.run,
    }
    parser.add_argument("what", nargs="?", choices=parts, default="messages")
    parts[parser.parse_args().what]()


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
