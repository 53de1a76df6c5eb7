"""What `appendfsync` costs: the same messages with `no`, `everysec` and `always`, in turns on one server and one disk.

With `always` nothing is answered or shown before it is on the disk.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

import httpx
import redis.asyncio
import uvloop
import websockets

from benchmarks.deployment import Measured, deployment
from benchmarks.measures import AT_ONCE, CALLBACKS, QUEUE, client_of, ending, endings, send
from orchestrator.embedded import DEMO_TENANT

MODES: Final = ("no", "everysec", "always")
ALONE: Final = 100
TOGETHER: Final = 500
TASKS: Final = 50
CHUNKS: Final = 60
PUSHED_AT_ONCE: Final = 10
ROWS: Final = {
    "post": "POST → 202, one at a time, ms: p50",
    "post p99": "the same: p99",
    "posts": f"POSTs/s, {AT_ONCE} at once",
    "posts valkey": "CPU of Valkey for each, µs",
    "frame": "LPUSH → frame, one at a time, ms: p50",
    "frame p99": "the same: p99",
    "events": f"streamed events/s, {PUSHED_AT_ONCE} a push",
    "events valkey": "CPU of Valkey for each, µs",
}


def options(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--rounds", type=int, default=8, help="of all three settings in turn (8)")
    parser.add_argument(
        "--below", type=Path, help="a folder on the disk that matters (the one for temporary files)"
    )


def run(chosen: argparse.Namespace) -> None:
    """Take turns, and print medians over the rounds."""
    print(f"an append of 4 KiB and its fsync, here: {_fsync_ms(chosen.below):.2f} ms (median)")
    with deployment(below=chosen.below) as measured:
        found = uvloop.run(_rounds(measured, chosen.rounds))
    _print(found)


def _fsync_ms(below: Path | None) -> float:
    took: list[float] = []
    with NamedTemporaryFile(dir=below) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def _rounds(measured: Measured, rounds: int) -> Mapping[str, Mapping[str, list[float]]]:
    """By setting and row: what each round found."""
    each: dict[str, dict[str, list[float]]] = {mode: defaultdict(list) for mode in MODES}
    url = f"{measured.service.ws_url}/ws/durable?tenant_id={DEMO_TENANT}&tier=professional"
    async with (
        client_of(measured.redis_url) as agent,
        httpx.AsyncClient(base_url=measured.service.url, timeout=30) as http,
        websockets.connect(url, max_queue=None, compression=None) as socket,
    ):
        await socket.recv()
        trial = _Trial(measured, agent, http, socket)
        for number in range(rounds + 1):
            for mode in MODES if number % 2 else MODES[::-1]:
                await agent.config_set("appendfsync", mode)  # pyright: ignore[reportUnknownMemberType]
                found = await trial.run()
                if number:  # the first round warms up
                    for row, value in found.items():
                        each[mode][row].append(value)
            print(f"round {number} of {rounds}", flush=True)
    return each


class _Trial:
    """The measures of one round with one setting."""

    def __init__(
        self, measured: Measured, agent: redis.asyncio.Redis, http: httpx.AsyncClient, socket: Any
    ) -> None:
        self._measured, self._agent, self._http, self._socket = measured, agent, http, socket

    async def run(self) -> dict[str, float]:
        """One value a row."""
        post, frame = await self._alone()
        posts, posts_cpu = await self._posts()
        events, events_cpu = await self._events()
        return {
            "post": statistics.median(post),
            "post p99": statistics.quantiles(post, n=100, method="inclusive")[98],
            "posts": posts,
            "posts valkey": posts_cpu,
            "frame": statistics.median(frame),
            "frame p99": statistics.quantiles(frame, n=100, method="inclusive")[98],
            "events": events,
            "events valkey": events_cpu,
        }

    async def _alone(self) -> tuple[list[float], list[float]]:
        """Milliseconds of each POST, and of each ending's way to its frame."""
        post: list[float] = []
        frame: list[float] = []
        for _ in range(ALONE):
            began = time.perf_counter()
            task = await send(self._http, "durable")
            post.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            await self._agent.lpush(CALLBACKS, ending(task))
            await endings(self._socket, 1)
            frame.append((time.perf_counter() - began) * 1000)
        return post, frame

    async def _posts(self) -> tuple[float, float]:
        """A second's worth, and what each cost Valkey."""
        before, began = self._cpu(), time.perf_counter()
        tasks: list[str] = []
        for _ in range(TOGETHER // AT_ONCE):
            tasks += await asyncio.gather(*(send(self._http, "durable") for _ in range(AT_ONCE)))
        took, cpu = time.perf_counter() - began, self._cpu() - before
        await self._agent.lpush(CALLBACKS, *map(ending, tasks))
        await endings(self._socket, len(tasks))
        await self._agent.delete(QUEUE)
        return len(tasks) / took, cpu / len(tasks) * 1e6

    async def _events(self) -> tuple[float, float]:
        """A second's worth of streamed events, pushed one push after the other, and what each cost Valkey."""
        tasks = [await send(self._http, "durable") for _ in range(TASKS)]
        reports = [
            json.dumps({"task_id": task, "status": "streaming", "seq": seq, "result": {"delta": "word "}})
            for seq in range(CHUNKS)
            for task in tasks
        ] + [ending(task) for task in tasks]
        before, began = self._cpu(), time.perf_counter()
        for start in range(0, len(reports), PUSHED_AT_ONCE):
            await self._agent.lpush(CALLBACKS, *reports[start : start + PUSHED_AT_ONCE])
        await endings(self._socket, TASKS)
        took, cpu = time.perf_counter() - began, self._cpu() - before
        await self._agent.delete(QUEUE)
        return len(reports) / took, cpu / len(reports) * 1e6

    def _cpu(self) -> float:
        return self._measured.cpu_seconds()["valkey"]


def _print(found: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Medians of the rounds, and the median of the ratios within a round: what else the machine does is in both."""
    against = [mode for mode in MODES if mode != "everysec"]
    heads = (*MODES, *(f"{mode} / everysec" for mode in against))
    print(f"{'':<40}" + "".join(f"{head:>20}" for head in heads))
    for row, name in ROWS.items():
        values = [statistics.median(found[mode][row]) for mode in MODES]
        shown = "".join(f"{value:>20,.{2 if value < 100 else 0}f}" for value in values)
        usual = found["everysec"][row]
        pairs = [zip(found[mode][row], usual, strict=True) for mode in against]
        ratios = [statistics.median(one / other for one, other in pair) for pair in pairs]
        print(f"{name:<40}{shown}" + "".join(f"{ratio:>20.2f}" for ratio in ratios))
