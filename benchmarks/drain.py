"""What a deploy costs those who follow: every replica is replaced, one after the other, under streaming load.

A new one is started, an old one gets SIGTERM; its clients are told when to come back (1012) and resume at another.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import httpx
import uvloop
from tests.servers import wait_until
from tests.viewer import Absence, Viewer

from benchmarks.deployment import Fleet, allow_files, fleet
from benchmarks.measures import client_of
from benchmarks.talk import ARRIVAL_SECONDS, DEMO, Speech, Talk

SETTLE_SECONDS = 5
DRAIN_SECONDS = 30


class Stop(NamedTuple):
    """One replica's end."""

    sockets: int
    seconds: float
    code: int


def options(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--clients", type=int, default=2_000, help="each follows a session of its own (2000)")
    parser.add_argument("--replicas", type=int, default=2, help="all of them are replaced (2)")
    parser.add_argument(
        "--every", type=float, default=2.0, help="seconds between two pieces of an answer (2)"
    )


def run(chosen: argparse.Namespace) -> None:
    """Deploy, and print what it did."""
    allow_files(4 * chosen.clients)
    settings = {
        "ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": str(chosen.clients),
        "ORCHESTRATOR_DRAIN_TIMEOUT": str(DRAIN_SECONDS),
    }
    with fleet(chosen.replicas, settings) as (replicas, valkey):
        uvloop.run(_deploy(replicas, valkey.url, chosen))


async def _deploy(replicas: Fleet, redis_url: str, chosen: argparse.Namespace) -> None:
    viewers = [Viewer(f"s-{n}", DEMO, lambda: replicas.pick().ws_url) for n in range(chosen.clients)]
    async with (
        client_of(redis_url) as agent,
        httpx.AsyncClient(timeout=30) as http,
    ):
        talk = Talk(agent, http, lambda: replicas.pick().url)
        async with talk.answering():
            await arrive(viewers)
            speech = Speech(10, chosen.every, _word)
            people = [asyncio.create_task(talk.converse(viewer.session, speech)) for viewer in viewers]
            await asyncio.sleep(ARRIVAL_SECONDS + SETTLE_SECONDS)
            before, began = talk.pushed, time.perf_counter()
            stops = [await _replace(replicas, viewers) for _ in range(chosen.replicas)]
            rate = (talk.pushed - before) / (time.perf_counter() - began)
            talk.over.set()
            await asyncio.gather(*people)
            await wait_until(lambda: not talk.missing(viewers), 60)
    await asyncio.gather(*(viewer.stop() for viewer in viewers))
    print(
        f"{chosen.clients} clients, {chosen.replicas} replicas replaced, {rate:,.0f} reports/s of agents meanwhile"
    )
    _print_stops(stops)
    _print_absences([absence for viewer in viewers for absence in viewer.absences])
    print_proof(viewers, talk)


async def arrive(viewers: Sequence[Viewer], at_once: int = 50) -> None:
    """All of them connected, a few at a time."""
    for start in range(0, len(viewers), at_once):
        some = viewers[start : start + at_once]
        for viewer in some:
            viewer.start()
        await wait_until(lambda some=some: all(viewer.connected for viewer in some), 30)
    print(f"{len(viewers)} connected", flush=True)


async def _replace(replicas: Fleet, viewers: Sequence[Viewer]) -> Stop:
    await asyncio.to_thread(replicas.add)
    old = replicas.replicas.pop(0)
    gone = sum(len(viewer.absences) for viewer in viewers)
    began = time.perf_counter()
    code = await asyncio.to_thread(old.stop, DRAIN_SECONDS + 10)
    took = time.perf_counter() - began
    await wait_until(lambda: all(viewer.connected for viewer in viewers), 60)
    stop = Stop(sum(len(viewer.absences) for viewer in viewers) - gone, took, code)
    print(f"replaced one: {stop.sockets} came back", flush=True)
    await asyncio.sleep(SETTLE_SECONDS)
    return stop


def _print_stops(stops: Sequence[Stop]) -> None:
    print(f"{'replica':<10}{'sockets':>10}{'SIGTERM to exit, s':>22}{'exit code':>12}")
    for number, stop in enumerate(stops, 1):
        print(f"{number:<10}{stop.sockets:>10}{stop.seconds:>22.1f}{stop.code:>12}")


def _print_absences(absences: Sequence[Absence]) -> None:
    codes = {code: sum(a.code == code for a in absences) for code in {a.code for a in absences}}
    print(f"closed with {codes}")
    print(f"{'gap, ms':<36}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    print_row("from the close to caught up", [(a.caught_up - a.left) * 1000 for a in absences])
    print_row("of that dialling and catching up", [(a.caught_up - a.dialled) * 1000 for a in absences])
    print(f"came back within one second, at most: {peak([a.back for a in absences])}")


def print_row(name: str, values: Sequence[float], decimals: int = 0) -> None:
    """Percentiles of one thing."""
    steps = statistics.quantiles(values, n=100, method="inclusive")
    found = (steps[49], steps[94], steps[98], max(values))
    print(f"{name:<36}" + "".join(f"{value:>8.{decimals}f}" for value in found))


def peak(moments: Sequence[float]) -> int:
    """The most of them within any second."""
    ordered = sorted(moments)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] > 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def print_proof(viewers: Sequence[Viewer], talk: Talk) -> None:
    """What the clients can say of everything that they saw."""
    endings = sum(len(tasks) for tasks in talk.tasks.values())
    faults: dict[str, int] = {}
    for viewer in viewers:
        for name, count in viewer.faults.items():
            faults[name] = faults.get(name, 0) + count
    print(
        f"{endings} answers: {talk.missing(viewers)} missing or not as they were said; faults: {faults or 'none'}"
    )


def _word(number: int) -> str:
    return f"word{number} "
