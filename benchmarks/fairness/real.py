"""The first case in real time: a service, workers of the SDK, and the same with agents that pop their queue."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import redis.asyncio
import structlog

from benchmarks.deployment import deployment
from orchestrator.broker.keys import execution_queue
from orchestrator.worker import AgentWorker, Task

SLOTS: Final = 4
HEAVY, LIGHT = 800, 40
RUN_SECONDS: Final = 0.05
EVERY_SECONDS: Final = 0.25
AT_ONCE: Final = 40

Saw = Callable[[str, str], None]
"""Is told the tenant and the message, which says when it was sent."""


def measured() -> str:
    """What the light tenant waited, in a sentence."""
    settings = {"ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false"}
    with deployment(settings) as measured_one:
        by_sdk = asyncio.run(_run(measured_one.service.url, measured_one.redis_url, _workers))
        by_pops = asyncio.run(_run(measured_one.service.url, measured_one.redis_url, _plain_agents))
    return (
        f"In real time, with a service and a worker of {SLOTS} slots: {HEAVY} tasks of {RUN_SECONDS * 1000:.0f} ms of"
        f" one tenant at once, one every {EVERY_SECONDS} s\nof another. The light one waited from request to run"
        f" (median / p95 / most) **{_told(by_sdk)} s** with workers of the SDK,"
        f"\nand {_told(by_pops)} s with agents that take from their queue by `BRPOP`."
    )


def _told(waits: list[float]) -> str:
    waits.sort()
    return f"{waits[len(waits) // 2]:.2f} / {waits[int(len(waits) * 0.95)]:.2f} / {waits[-1]:.2f}"


async def _run(url: str, redis_url: str, agents: Callable[[str, Saw], Any]) -> list[float]:
    waits: list[float] = []
    seen = asyncio.Semaphore(0)

    def saw(tenant: str, message: str) -> None:
        if tenant == "light":
            waits.append(time.monotonic() - float(message))
        seen.release()

    async with agents(redis_url, saw), httpx.AsyncClient(base_url=url, timeout=30) as http:
        for _ in range(HEAVY // AT_ONCE):
            await asyncio.gather(*(_send(http, "heavy") for _ in range(AT_ONCE)))
        for _ in range(LIGHT):
            await _send(http, "light")
            await asyncio.sleep(EVERY_SECONDS)
        for _ in range(HEAVY + LIGHT):
            await seen.acquire()
    return waits


async def _send(http: httpx.AsyncClient, tenant: str) -> None:
    headers = {
        "X-Tenant-ID": tenant,
        "X-Agent-ID": "agent-123",
        "X-Tenant-Tier": "professional",
        "X-Session-ID": tenant,
    }
    answer = await http.post("/api/chat/send", headers=headers, json={"message": str(time.monotonic())})
    answer.raise_for_status()


@asynccontextmanager
async def _workers(redis_url: str, saw: Saw) -> AsyncGenerator[None]:
    worker = AgentWorker(concurrency=SLOTS, redis_url=redis_url)

    @worker.agent("agent-123")
    async def answer(task: Task) -> str:  # pyright: ignore[reportUnusedFunction]
        saw(task.tenant_id, task.message)
        await asyncio.sleep(RUN_SECONDS)
        return "done"

    quiet: Any = structlog.wrap_logger(
        structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    work = asyncio.create_task(worker.run(quiet))
    try:
        yield
    finally:
        await worker.stop()
        await work


@asynccontextmanager
async def _plain_agents(redis_url: str, saw: Saw) -> AsyncGenerator[None]:
    client: Any = redis.asyncio.Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    async with client:
        agents = [asyncio.create_task(_pop(client, saw)) for _ in range(SLOTS)]
        try:
            yield
        finally:
            for agent in agents:
                agent.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*agents)


async def _pop(client: Any, saw: Saw) -> None:
    while True:
        found = await client.brpop([execution_queue("agent-123", "professional")], timeout=1)
        if found:
            task = json.loads(found[1])
            saw(task["tenant_id"], task["message"])
            await asyncio.sleep(RUN_SECONDS)
            ending = {"task_id": task["task_id"], "status": "completed", "result": {"response": "done"}}
            await client.lpush(task["callback_queue"], json.dumps(ending))
