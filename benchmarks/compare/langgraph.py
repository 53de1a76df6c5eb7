"""LangGraph's development server under the same load: a run is a request whose answer is the stream."""

import asyncio
import json
import time
from typing import Final, cast

import msgspec

from benchmarks.compare.comparison import SETTLE_SECONDS, Cost, Stopwatch, Trips, trips_of
from benchmarks.compare.subjects import DELTA, Subject
from benchmarks.load.posts import request
from benchmarks.peers import langgraph_wire
from benchmarks.peers.script import Script

_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


class Runner(asyncio.Protocol):
    """One connection; each run begins once the last one's stream has ended."""

    def __init__(self, chunks: int) -> None:
        self.latencies: Final[list[float]] = []
        body = langgraph_wire.run_of(Script(chunks=chunks, delta=DELTA).message)
        self._request = request(langgraph_wire.PATH, {}, json.dumps(body).encode())
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._over: asyncio.Future[None] | None = None
        self._left = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._read.endswith(_LAST_CHUNK):
            assert self._read.startswith(b"HTTP/1.1 200"), self._read[:300]
            assert b"event: updates" in self._read, self._read[-300:]
            self._read = b""
            self.latencies.append(time.perf_counter() - self._began)
            self._next()

    async def run(self, runs: int) -> None:
        """So many runs, one after the other."""
        self._left, self._over = runs, asyncio.get_running_loop().create_future()
        self._next()
        await self._over

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        assert self._transport is not None, "not connected"
        assert self._over is not None, "running"
        if self._left == 0:
            self._over.set_result(None)
            return
        self._left -= 1
        self._began = time.perf_counter()
        self._transport.write(self._request)


async def streamed(subject: Subject, *, people: int, chunks: int) -> Cost:
    """What an event costs of a run in so many pieces, the request and the run itself included."""
    cost = (await runs(subject, people=people, each=1, chunks=chunks)).cost
    return msgspec.structs.replace(cost, count=cost.count * (chunks + 1))


async def runs(subject: Subject, *, people: int, each: int, chunks: int) -> Trips:
    """Everybody begins the next run once the last has ended."""
    crowd = [Runner(chunks) for _ in range(people)]
    for runner in crowd:
        await asyncio.get_running_loop().create_connection(
            lambda runner=runner: runner, "127.0.0.1", subject.port
        )
    await asyncio.gather(*(runner.run(1) for runner in crowd))
    await asyncio.sleep(SETTLE_SECONDS)
    for runner in crowd:
        runner.latencies.clear()
    watch = Stopwatch(subject)
    await asyncio.gather(*(runner.run(each) for runner in crowd))
    cost = watch.cost(people * each)
    for runner in crowd:
        runner.close()
    return trips_of(cost, [seconds for runner in crowd for seconds in runner.latencies])
