"""What those who read 1 KB/s cost the others: the same streams without slow readers, with some, and without again.

Latency is from the word of an agent, which pushes every 5 ms, to the frame at a client that reads at once. The
slow ones lag, get merged frames, are closed with 4408, resume, and in the end have every word.
"""

import argparse
import asyncio
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import uvloop
from tests.line import AT_ONCE
from tests.security.hostile_peers import Watched
from tests.servers import wait_until
from tests.viewer import Viewer

from benchmarks.deployment import Measured, allow_files, deployment
from benchmarks.drain import arrive, print_proof
from benchmarks.measures import client_of
from benchmarks.talk import ARRIVAL_SECONDS, DEMO, Speech, Talk

SETTLE_SECONDS: Final = 3
SESSION_OF_FAST: Final = 10
"""So many of the fast ones follow one session together."""
STAMP: Final = 20
LOUD: Final = 2_000
"""Characters of a piece in the sessions of those who will be slow: 1 KB/s has to be too little."""
MIB: Final = 1024 * 1024


def options(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--slow", type=int, default=50, help="they read 1 KB/s in the second phase (50)")
    parser.add_argument("--fast", type=int, default=1_000, help="whose latency is measured (1000)")
    parser.add_argument(
        "--seconds", type=float, default=30, help="of each phase; the slow one lasts twice as long (30)"
    )
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two words of an answer (1)")


def run(chosen: argparse.Namespace) -> None:
    """Run the three phases, and print them side by side."""
    allow_files(4 * (chosen.slow + chosen.fast))
    # Twice as many: who dials anew may be there before the service has noticed that it left.
    room = 2 * (chosen.slow + chosen.fast)
    with deployment({"ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": str(room)}) as measured:
        uvloop.run(_read(measured, chosen))


class Phase:
    """What was seen in one phase."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.took: defaultdict[int, list[float]] = defaultdict(list)
        """Milliseconds of each frame, by second."""
        self.halfway = self.most = self.memory = 0
        """Memory of the service: after half of it, at most, and at the end."""
        self.began = time.monotonic()
        self.cpu: dict[str, float] = {}
        """Share of a core of each process; `load` is this one."""

    @property
    def frames(self) -> int:
        """How many were timed."""
        return sum(map(len, self.took.values()))

    def percentile(self, of: int) -> float:
        """The median of the seconds' percentiles: what else the machine does comes in bursts."""
        whole = (took for took in self.took.values() if len(took) > 100)
        return statistics.median(statistics.quantiles(took, n=100)[of - 1] for took in whole)


async def _read(measured: Measured, chosen: argparse.Namespace) -> None:
    url = measured.service.ws_url
    fast = [Viewer(f"fast-{n // SESSION_OF_FAST}", DEMO, lambda: url) for n in range(chosen.fast)]
    slow = [Viewer(f"slow-{n}", DEMO, lambda: url) for n in range(chosen.slow)]
    async with (
        client_of(measured.redis_url) as agent,
        httpx.AsyncClient(timeout=30) as http,
    ):
        talk = Talk(agent, http, lambda: measured.service.url)
        async with talk.answering():
            await arrive([*fast, *slow])
            people = _begin(talk, fast, slow, chosen.every)
            await asyncio.sleep(ARRIVAL_SECONDS)
            phases = [await _phase("all read at once", fast, measured, chosen.seconds)]
            async with _slowly(slow) as closes:
                phases.append(await _phase("some read 1 KB/s", fast, measured, 2 * chosen.seconds))
                merged = sum(viewer.merged for viewer in slow)
                told = (await http.get(f"{measured.service.url}/metrics")).text
            phases.append(await _phase("all at once again", fast, measured, chosen.seconds))
            talk.over.set()
            await asyncio.gather(*people)
            await wait_until(lambda: not talk.missing([*fast, *slow]), 60)
    await asyncio.gather(*(viewer.stop() for viewer in (*fast, *slow)))
    _print(phases)
    too_slow = re.findall(r'^orchestrator_websocket_closed_total{.*code="4408".*} (\d+)', told, re.MULTILINE)
    print(
        f"{chosen.slow} slow ones: {merged} frames that stood for several events,"
        f" {sum(map(int, too_slow))} times closed with 4408, as they saw it {dict(closes)}"
    )
    print_proof([*fast, *slow], talk)


def _begin(
    talk: Talk, fast: Sequence[Viewer], slow: Sequence[Viewer], every: float
) -> list[asyncio.Task[None]]:
    word = Speech(20, every, _now)
    loud = Speech(100, 0.1, _loud)
    speeches = {viewer.session: word for viewer in fast} | {viewer.session: loud for viewer in slow}
    return [asyncio.create_task(talk.converse(session, speech)) for session, speech in speeches.items()]


@asynccontextmanager
async def _slowly(viewers: Sequence[Viewer]) -> AsyncGenerator[Counter[int]]:
    """While these read 1 KB/s, for which they dial anew, and after it; how their connections ended meanwhile."""
    closes: Counter[int] = Counter()
    for viewer in viewers:
        viewer.on_close = lambda code, _: closes.update([code])
        await viewer.dial_anew(at_once=1024, pause=1.0)
    yield closes
    for viewer in viewers:
        await viewer.dial_anew(at_once=AT_ONCE, pause=0.0)


async def _phase(name: str, fast: Sequence[Viewer], measured: Measured, seconds: float) -> Phase:
    await asyncio.sleep(SETTLE_SECONDS)
    phase, watched = Phase(name), Watched(measured.service.process.pid)

    def note(frame: dict[str, Any]) -> None:
        if frame["type"] == "agent_chunk" and "covers" not in frame:
            pushed = int(frame["data"]["delta"][:STAMP])
            phase.took[int(time.monotonic())].append((time.perf_counter_ns() - pushed) / 1e6)

    before = _cpu(measured)
    for viewer in fast:
        viewer.on_event = note
    while time.monotonic() - phase.began < seconds:
        phase.memory = watched.memory
        if time.monotonic() - phase.began < seconds / 2:
            phase.halfway = phase.memory
        phase.most = max(phase.most, phase.memory)
        await asyncio.sleep(0.2)
    for viewer in fast:
        viewer.on_event = lambda _: None
    took = time.monotonic() - phase.began
    phase.cpu = {who: (used - before[who]) / took for who, used in _cpu(measured).items()}
    print(f"{name}: {phase.frames} frames", flush=True)
    return phase


def _cpu(measured: Measured) -> dict[str, float]:
    return {**measured.cpu_seconds(), "load": time.process_time()}


def _print(phases: Sequence[Phase]) -> None:
    heads = (
        "frames",
        "p50 ms",
        "p99 ms",
        "MiB halfway",
        "at most",
        "at the end",
        *(f"{who} %" for who in phases[0].cpu),
    )
    print(f"{'':<20}" + "".join(f"{head:>13}" for head in heads))
    for phase in phases:
        latency = f"{phase.percentile(50):>13.1f}{phase.percentile(99):>13.1f}"
        memory = "".join(f"{size / MIB:>13.0f}" for size in (phase.halfway, phase.most, phase.memory))
        cpu = "".join(f"{share * 100:>13.0f}" for share in phase.cpu.values())
        print(f"{phase.name:<20}{phase.frames:>13}{latency}{memory}{cpu}")
    before, during, after = phases
    for of in (50, 99):
        without = (before.percentile(of) + after.percentile(of)) / 2
        print(
            f"p{of} of the others, with slow ones / without: {during.percentile(of) / without:.2f}"
            f" (without, after / before: {after.percentile(of) / before.percentile(of):.2f})"
        )


def _now(_: int) -> str:
    return f"{time.perf_counter_ns():0{STAMP}d} "


def _loud(_: int) -> str:
    return "x" * LOUD
