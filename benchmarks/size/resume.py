"""People who come back to a session of 1 000 events."""

import asyncio
import re
import time
from typing import Final

from tests.servers import wait_until

from benchmarks.deployment import Measured
from benchmarks.figures import Figure
from benchmarks.load.agent import chunk, ending, running, task_ids
from benchmarks.load.posts import post_each, request
from benchmarks.load.sockets import Counter, Viewer
from benchmarks.size.crowd import BROWSER
from benchmarks.size.stand import Meter, Stand, run, standing, stood
from orchestrator.broker.libraries import library_of

TENANT: Final = "resumes"
TIMES: Final = 300
QUICK_TIMES: Final = 100
QUEUE: Final = "execution:agent-123:professional"
HEADERS: Final = {"X-Tenant-ID": TENANT, "X-Agent-ID": "agent-123", "X-Tenant-Tier": "professional"}
CALLBACKS: Final = f"orchestrator:{TENANT}:callbacks"
_READS: Final = frozenset(
    library_of(script).scripts[script].encode() for script in ("open_session", "read_log")
)
_POSITION: Final = re.compile(rb'"position":("[^"]+")')


class Shape:
    """A session: so many tasks with so many chunks each, and some events besides: `queued`, `running`, the ending."""

    def __init__(self, name: str, says: str, tasks: int, chunks: int, *, ended: bool) -> None:
        self.name, self.says, self.tasks, self.chunks, self.ended = name, says, tasks, chunks, ended

    @property
    def path(self) -> str:
        """Of a socket that wants all of it."""
        return f"/ws/{self.name}?tenant_id={TENANT}&tier=professional&position=earliest"


SHAPES: Final = (
    Shape("answers", "10 answers of 97 chunks", 10, 97, ended=True),
    Shape("running", "one answer under way, 998 chunks", 1, 998, ended=False),
    Shape("frames", "333 short answers: a frame an event", 333, 0, ended=True),
)


def figures(*, quick: bool) -> list[Figure]:
    """How long a resume takes and what it asks of Redis."""
    with stood() as measured:
        return run(_measure(measured, QUICK_TIMES if quick else TIMES))


async def _measure(measured: Measured, times: int) -> list[Figure]:
    found: list[Figure] = []
    async with standing(measured) as stand:
        for shape in SHAPES:
            await _fill(stand, shape)
            found += await _resumed(stand, shape, times)
    return found


async def _fill(stand: Stand, shape: Shape) -> None:
    """Have the session's events: tasks by POST, the rest as an agent reports it."""
    headers = {**HEADERS, "X-Session-ID": shape.name}
    send = request("/api/chat/send", headers, b'{"message":"hello"}')
    await post_each(stand.port, [send] * shape.tasks, 202)
    ids = task_ids(await stand.redis.send("RPOP", QUEUE, shape.tasks) or [])
    assert len(ids) == shape.tasks, f"{len(ids)} of {shape.tasks} tasks"
    for task in ids:
        reports = [chunk(task, seq) for seq in range(shape.chunks)]
        if shape.chunks == 0:
            reports = [running(task)]
        await stand.redis.send("LPUSH", CALLBACKS, *reports, *([ending(task)] if shape.ended else []))

    async def all_taken() -> bool:
        return await stand.redis.send("LLEN", CALLBACKS) == 0

    await wait_until(all_taken, within=10)


class _Returning(Viewer):
    """A browser that comes back; `caught_up` is done once it has the event at the log's end."""

    def __init__(self, path: str) -> None:
        super().__init__(path, lambda _: None, BROWSER)
        self.caught_up: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self._end: Counter | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._end is None and (told := _POSITION.search(data)):
            self._end = Counter(told[1])
        # The acknowledgement tells where the log ends, the last event has that position.
        if self._end and self._end.feed(data) and self._end.count > 1 and not self.caught_up.done():
            self.caught_up.set_result(None)


async def _resumed(stand: Stand, shape: Shape, times: int) -> list[Figure]:
    await _resumes(stand, shape, 10)
    await stand.redis.send("CONFIG", "SET", "slowlog-max-len", 1_000_000, "slowlog-log-slower-than", 0)
    await stand.redis.send("SLOWLOG", "RESET")
    meter = Meter(stand.measured)
    took = await _resumes(stand, shape, times)
    cost = meter.read()
    await stand.redis.send("CONFIG", "SET", "slowlog-log-slower-than", -1)
    return [
        Figure(
            name=f"resume_p99_ms_{shape.name}",
            says=f"resume of 1 000 events, p99: {shape.says}",
            value=took[int(len(took) * 0.99)] * 1_000,
            unit="ms",
            goal=20,
            note=f"p50 {took[len(took) // 2] * 1_000:.1f} ms; service CPU {cost.service / times * 1e3:.1f} ms",
        ),
        Figure(
            name=f"resume_round_trips_{shape.name}",
            says=f"round trips to Redis of a resume: {shape.says}",
            value=await _reads(stand) / times,
            unit="",
            goal=1,
        ),
    ]


async def _reads(stand: Stand) -> int:
    """How many scripts were called that read a log."""
    entries = await stand.redis.send("SLOWLOG", "GET", -1)
    return sum(entry[3][1] in _READS for entry in entries if entry[3][0] == b"FCALL")


async def _resumes(stand: Stand, shape: Shape, times: int) -> list[float]:
    return sorted([await _resume(stand, shape) for _ in range(times)])


async def _resume(stand: Stand, shape: Shape) -> float:
    """Seconds from connecting to the last event."""
    began = time.perf_counter()
    returning = _Returning(shape.path)
    await asyncio.get_running_loop().create_connection(lambda: returning, "127.0.0.1", stand.port)
    async with asyncio.timeout(10):
        await returning.caught_up
    took = time.perf_counter() - began
    returning.close()
    await asyncio.sleep(0.005)
    return took
