"""The measures: each drives one deployment for a bounded number of messages and returns what it cost."""

import asyncio
import json
import statistics
import time
import zlib
from typing import Any, Final

import httpx
import msgspec
import redis.asyncio
import websockets
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from benchmarks.deployment import Measured
from orchestrator.embedded import DEMO_TENANT

TENANT: Final = {"X-Tenant-ID": DEMO_TENANT, "X-Agent-ID": "agent-123", "X-Tenant-Tier": "professional"}
QUEUE: Final = "execution:agent-123:professional"
CALLBACKS: Final = f"orchestrator:{DEMO_TENANT}:callbacks"
AT_ONCE: Final = 50


class Result(msgspec.Struct):
    """What a measure found: per message in µs of CPU, latency in ms where it was looked at."""

    name: str
    messages: int
    service_us: float
    valkey_us: float
    note: str = ""


def client_of(redis_url: str) -> redis.asyncio.Redis:
    """A client that sends nothing twice."""
    options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 30}
    return redis.asyncio.Redis.from_url(redis_url, **options)  # pyright: ignore[reportUnknownMemberType]


async def send(http: httpx.AsyncClient, session: str) -> str:
    """A message that has to be accepted; the id of its task."""
    answer = await http.post(
        "/api/chat/send", headers={**TENANT, "X-Session-ID": session}, json={"message": "hello"}
    )
    answer.raise_for_status()
    return str(answer.json()["task_id"])


def ending(task: str) -> str:
    """The callback that ends a task."""
    return json.dumps({"task_id": task, "status": "completed", "result": {"response": "hello"}})


class _Cost:
    """CPU between two moments, per message."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._before = measured.cpu_seconds()

    def result(self, name: str, messages: int, note: str = "") -> Result:
        after = self._measured.cpu_seconds()
        per = {who: (after[who] - self._before[who]) / messages * 1e6 for who in after}
        return Result(name, messages, per["service"], per["valkey"], note)


async def streamed_events(measured: Measured, tasks: int, chunks: int) -> Result:
    """Chunks of many tasks of one session's socket; an agent pushes them with plain LPUSH, 100 a call."""
    url = f"{measured.service.ws_url}/ws/stream?tenant_id={DEMO_TENANT}&tier=professional"
    async with (
        client_of(measured.redis_url) as agent,
        httpx.AsyncClient(base_url=measured.service.url, timeout=30) as http,
        websockets.connect(url, max_queue=None, compression=None) as socket,
    ):
        await socket.recv()
        ids = [await send(http, "stream") for _ in range(tasks)]
        reports = [
            json.dumps({"task_id": task, "status": "streaming", "seq": seq, "result": {"delta": "word "}})
            for seq in range(chunks)
            for task in ids
        ] + [ending(task) for task in ids]
        seen = asyncio.create_task(endings(socket, tasks))
        cost = _Cost(measured)
        began = time.perf_counter()
        for start in range(0, len(reports), 100):
            await agent.lpush(CALLBACKS, *reports[start : start + 100])
        await seen
        rate = len(reports) / (time.perf_counter() - began)
        return cost.result(
            "streamed event", len(reports), f"{rate:,.0f} events/s with the load on this machine"
        )


async def endings(socket: Any, wanted: int) -> None:
    """Returns when so many tasks have ended on this socket."""
    while wanted:
        frame = json.loads(await socket.recv())
        wanted -= frame["type"] in {"agent_response", "error"} and "task_id" in frame


async def round_trips(measured: Measured, count: int) -> Result:
    """POST to answered frame, 50 at once; an agent answers each task with one plain LPUSH."""
    url = f"{measured.service.ws_url}/ws/trips?tenant_id={DEMO_TENANT}&tier=professional"
    async with (
        client_of(measured.redis_url) as agent,
        httpx.AsyncClient(base_url=measured.service.url, timeout=30) as http,
        websockets.connect(url, max_queue=None, compression=None) as socket,
    ):
        await socket.recv()
        await agent.delete(QUEUE)  # what earlier measures left waiting
        answering = asyncio.create_task(_answer(agent, count))
        seen = asyncio.create_task(endings(socket, count))
        cost = _Cost(measured)
        for _ in range(count // AT_ONCE):
            await asyncio.gather(*(send(http, "trips") for _ in range(AT_ONCE)))
        await asyncio.gather(answering, seen)
        return cost.result("round trip, 50 at once", count)


async def _answer(agent: redis.asyncio.Redis, count: int) -> None:
    for _ in range(count):
        popped: Any = await agent.brpop([QUEUE], timeout=20)  # pyright: ignore[reportGeneralTypeIssues]
        await agent.lpush(CALLBACKS, ending(json.loads(popped[1])["task_id"]))


async def latency(measured: Measured, count: int) -> Result:
    """From a plain LPUSH of an ending to its frame at the client, one at a time, nothing else going on."""
    url = f"{measured.service.ws_url}/ws/alone?tenant_id={DEMO_TENANT}&tier=professional"
    took: list[float] = []
    async with (
        client_of(measured.redis_url) as agent,
        httpx.AsyncClient(base_url=measured.service.url, timeout=30) as http,
        websockets.connect(url, compression=None) as socket,
    ):
        await socket.recv()
        cost = _Cost(measured)
        for _ in range(count):
            task = await send(http, "alone")
            began = time.perf_counter()
            await agent.lpush(CALLBACKS, ending(task))
            await endings(socket, 1)
            took.append((time.perf_counter() - began) * 1000)
        quantiles = statistics.quantiles(took, n=100)
        note = f"LPUSH to frame: p50 {quantiles[49]:.2f} ms, p99 {quantiles[98]:.2f} ms"
        return cost.result("round trip, one at a time", count, note)


async def idle(measured: Measured, tenants: int, seconds: float) -> Result:
    """Nothing happens, with many tenants that were active within the hour; CPU as a share of a core."""
    async with client_of(measured.redis_url) as client:
        now = int(time.time() * 1_000_000)
        for number in range(tenants):
            name = f"tenant-{number}"
            part = f"{{orchestrator:agenda:{zlib.crc32(name.encode()) % 16}}}"
            await client.zadd(part, {name: now + number * 1_000})
            stats = f"{{orchestrator:{name}:callbacks}}:stats:{now // 600_000_000}"
            await client.hset(stats, "tasks|accepted", "1")  # pyright: ignore[reportGeneralTypeIssues]
            await client.expire(stats, 90_000)
    await asyncio.sleep(5)  # their first looks are due at once; afterwards once an hour
    before = measured.cpu_seconds()
    await asyncio.sleep(seconds)
    after = measured.cpu_seconds()
    share = {who: (after[who] - before[who]) / seconds * 100 for who in after}
    note = f"service {share['service']:.2f} %, valkey {share['valkey']:.2f} % of a core"
    return Result(f"idle, {tenants} tenants, {seconds:g} s", 0, 0, 0, note)
