"""How long a stop takes: until its answer, until a viewer on the session's socket sees it, until the agent has stopped.

Each task runs in a worker of the SDK and streams; some others stream beside it. One stop at a time.
"""

import asyncio
import json
import logging
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import structlog
import websockets

from benchmarks.deployment import Measured, deployment
from orchestrator.embedded import DEMO_TENANT
from orchestrator.worker import AgentWorker, Task

COUNT: Final = 300
BESIDE: Final = 20
AGENT: Final = "agent-123"
HEADERS: Final = {
    "X-Tenant-ID": DEMO_TENANT, "X-Agent-ID": AGENT, "X-Tenant-Tier": "professional", "X-Session-ID": "stops",
}  # fmt: skip


class Stopwatch:
    """When each task's agent began, and when it was told to stop."""

    def __init__(self) -> None:
        self.began: dict[str, asyncio.Event] = {}
        self.stopped: dict[str, asyncio.Future[float]] = {}

    async def answer(self, task: Task) -> AsyncGenerator[str]:
        """Streams until it is stopped."""
        try:
            while True:
                yield "word "
                self.began.setdefault(task.task_id, asyncio.Event()).set()
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            stopped = self.stopped.get(task.task_id)
            if stopped and not stopped.done():
                stopped.set_result(time.perf_counter())
            raise


def run() -> None:
    """Measure, and print percentiles in milliseconds."""
    with deployment() as measured:
        took = asyncio.run(_stops(measured))
    print(f"{COUNT} stops of running tasks, {BESIDE} others streaming; ms")
    print(f"{'until':<28}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    for name, values in took.items():
        steps = statistics.quantiles(values, n=100)
        print(f"{name:<28}{steps[49]:>8.1f}{steps[94]:>8.1f}{steps[98]:>8.1f}{max(values):>8.1f}")


async def _stops(measured: Measured) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {
        "the answer to the stop": [],
        "the viewer's frame": [],
        "the agent has stopped": [],
    }
    watch = Stopwatch()
    async with (
        _worker(measured, watch),
        httpx.AsyncClient(base_url=measured.service.url, headers=HEADERS, timeout=30) as http,
        _viewer(measured) as seen,
    ):
        for _ in range(BESIDE):
            await _begun(http, watch)
        for _ in range(COUNT):
            task = await _begun(http, watch)
            loop = asyncio.get_running_loop()
            watch.stopped[task], seen[task] = loop.create_future(), loop.create_future()
            began = time.perf_counter()
            (await http.post(f"/api/chat/tasks/{task}/cancel")).raise_for_status()
            moments = (time.perf_counter(), await seen[task], await watch.stopped[task])
            for values, moment in zip(took.values(), moments, strict=True):
                values.append((moment - began) * 1000)
    return took


async def _begun(http: httpx.AsyncClient, watch: Stopwatch) -> str:
    """A task whose agent streams."""
    answer = await http.post("/api/chat/send", json={"message": "go", "timeout": 600})
    answer.raise_for_status()
    task = str(answer.json()["task_id"])
    await asyncio.wait_for(watch.began.setdefault(task, asyncio.Event()).wait(), 20)
    return task


@asynccontextmanager
async def _worker(measured: Measured, watch: Stopwatch) -> AsyncGenerator[None]:
    worker = AgentWorker(concurrency=BESIDE + 4, redis_url=measured.redis_url, stop_timeout=0)
    worker.agent(AGENT)(watch.answer)
    quiet = structlog.wrap_logger(
        structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    working = asyncio.create_task(worker.run(quiet))
    try:
        yield
    finally:
        await worker.stop()
        await working


@asynccontextmanager
async def _viewer(measured: Measured) -> AsyncGenerator[dict[str, asyncio.Future[float]]]:
    """When the ending of each task came over the socket."""
    seen: dict[str, asyncio.Future[float]] = {}
    url = f"{measured.service.ws_url}/ws/stops?tenant_id={DEMO_TENANT}&tier=professional"

    async def read(socket: Any) -> None:
        async for raw in socket:
            frame = json.loads(raw)
            if frame["type"] == "error" and frame.get("task_id") in seen:
                seen[frame["task_id"]].set_result(time.perf_counter())

    async with websockets.connect(url, max_queue=None, compression=None) as socket:
        reading = asyncio.create_task(read(socket))
        yield seen
        reading.cancel()
