"""Clients whose network fails again and again: each is torn off by RST, stays away, and resumes; what reached them.

Every event is one of its own (progress, never merged), so what each client got is counted one by one.
"""

import argparse
import asyncio
import random
from collections.abc import Sequence
from typing import Any

import httpx
import uvloop
from tests.servers import wait_until
from tests.viewer import Viewer

from benchmarks.deployment import Fleet, allow_files, fleet
from benchmarks.drain import arrive, print_proof, print_row
from benchmarks.measures import client_of
from benchmarks.talk import DEMO, Speech, Talk


def options(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--clients", type=int, default=300, help="each follows a session of its own (300)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument(
        "--torn-every", type=float, default=15, help="seconds between two RSTs, on average (15)"
    )
    parser.add_argument("--offline", type=float, default=2, help="seconds away after each (2)")
    parser.add_argument("--per-second", type=float, default=2, help="events for each client (2)")


def run(chosen: argparse.Namespace) -> None:
    """Shake them, and print what reached whom."""
    allow_files(4 * chosen.clients)
    settings = {"ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": str(chosen.clients)}
    with fleet(1, settings) as (replicas, valkey):
        uvloop.run(_shake(replicas, valkey.url, chosen))


async def _shake(replicas: Fleet, redis_url: str, chosen: argparse.Namespace) -> None:
    viewers = [_Counting(f"s-{n}", replicas, chosen) for n in range(chosen.clients)]
    async with (
        client_of(redis_url) as agent,
        httpx.AsyncClient(timeout=30) as http,
    ):
        talk = Talk(agent, http, lambda: replicas.pick().url)
        async with talk.answering():
            await arrive(viewers)
            every = 1 / chosen.per_second
            speech = Speech(10**9, every, str, streamed=False)
            people = [asyncio.create_task(talk.converse(viewer.session, speech)) for viewer in viewers]
            await asyncio.sleep(chosen.seconds)
            talk.over.set()
            await asyncio.gather(*people)
            await wait_until(lambda: not talk.missing(viewers), 60)
    await asyncio.gather(*(viewer.stop() for viewer in viewers))
    _print(viewers, talk, chosen)


class _Counting(Viewer):
    """Keeps the number of each piece that it got."""

    def __init__(self, session: str, replicas: Fleet, chosen: argparse.Namespace) -> None:
        super().__init__(session, DEMO, lambda: replicas.pick().ws_url)
        mean = chosen.torn_every
        self.holds = lambda: random.uniform(0.5 * mean, 1.5 * mean)
        self.offline = chosen.offline
        self.pieces: list[int] = []
        self.on_event = self._count

    def _count(self, frame: dict[str, Any]) -> None:
        detail = frame["data"].get("detail")
        if frame["type"] == "task_update" and detail:
            self.pieces.append(int(detail["piece"]))


def _print(viewers: Sequence[_Counting], talk: Talk, chosen: argparse.Namespace) -> None:
    absences = [absence for viewer in viewers for absence in viewer.absences]
    sent = sum(talk.spoken.values())
    distinct = sum(len(set(viewer.pieces)) for viewer in viewers)
    twice = sum(len(viewer.pieces) for viewer in viewers) - distinct
    disordered = sum(viewer.pieces != sorted(viewer.pieces) for viewer in viewers)
    print(
        f"{chosen.clients} clients for {chosen.seconds:g} s, {chosen.per_second:g} events/s each,"
        f" torn off {len(absences)} times for {chosen.offline:g} s:\n{distinct} of {sent} events delivered"
        f" ({distinct / sent:.2%}), {twice} twice, {disordered} clients saw them out of order"
    )
    print(f"{'resume, ms':<36}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    print_row("from dialling to caught up", [(a.caught_up - a.dialled) * 1000 for a in absences], 1)
    print_proof(viewers, talk)
