"""The floor: what uvicorn by itself costs for an answer and for a frame, on the same machine and in the same run."""

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.servers import free_port

from benchmarks.compare.comparison import Cost, Stopwatch
from benchmarks.compare.subjects import Subject
from benchmarks.load.posts import Post, request
from benchmarks.load.sockets import Viewer, text_frame
from benchmarks.peers.peer import FLOOR
from benchmarks.peers.running import running

FRAME_BYTES: Final = 250
"""About what a piece of an answer takes as a frame of the service."""
PEOPLE: Final = 50


@contextmanager
def floor() -> Generator[Subject]:
    """Uvicorn with nothing behind it."""
    with (
        TemporaryDirectory() as name,
        running(FLOOR, "", free_port(), Path(name) / "floor.log") as found,
    ):
        yield Subject(
            name=found.peer.name,
            says=found.peer.says,
            versions=found.peer.versions(),
            wire="floor",
            port=found.port,
            pids=(found.pid,),
            valkey_pid=None,
            valkey_socket="",
        )


async def answers(subject: Subject, *, count: int) -> Cost:
    """Small requests on kept connections, each sent once the last was answered."""
    crowd = [_Asker(count // PEOPLE) for _ in range(PEOPLE)]
    for asker in crowd:
        await asyncio.get_running_loop().create_connection(asker.connection, "127.0.0.1", subject.port)
    watch = Stopwatch(subject)
    await asyncio.gather(*(asker.ask() for asker in crowd))
    cost = watch.cost(count // PEOPLE * PEOPLE)
    for asker in crowd:
        asker.post.close()
    return cost


async def frames(subject: Subject, *, count: int, each: bool) -> Cost:
    """One socket's frames in a loop; with `each` every one is a write of its own."""
    viewer = Viewer("/floor/ws", lambda _: None)
    viewer.opened.set_result(None)  # nothing comes before it is asked for
    await asyncio.get_running_loop().create_connection(lambda: viewer, "127.0.0.1", subject.port)
    await viewer.upgraded.wait()
    watch = Stopwatch(subject)
    viewer.send(text_frame(json.dumps({"count": count, "size": FRAME_BYTES, "each": each})))
    while viewer.bytes < count * FRAME_BYTES:  # noqa: ASYNC110 - a look costs less than a call for each read
        await asyncio.sleep(0.01)
    cost = watch.cost(count)
    viewer.close()
    return cost


class _Asker:
    """One connection's closed loop."""

    def __init__(self, requests: int) -> None:
        self.post = Post(self._answered)
        self._left = requests
        self._over = asyncio.get_running_loop().create_future()
        self._request = request("/floor/http", {"X-Session-ID": "floor"}, b'{"message":"hello"}')

    def connection(self) -> Post:
        return self.post

    async def ask(self) -> None:
        self.post.send(self._request)
        await self._over

    def _answered(self, status: int, body: bytes) -> None:
        assert status == 202, (status, body)
        self._left -= 1
        if self._left:
            self.post.send(self._request)
        else:
            self._over.set_result(None)
