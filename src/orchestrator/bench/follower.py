"""A frontend's WebSocket: it follows a session, comes back with its position, and notes when what came."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from orchestrator.bench.target import BenchError, Target

BACK_OFF_SECONDS: Final = 0.5
_NO_RETURN: Final = {4400, 4401, 4403, 1003, 1007, 1009}
_ENDINGS: Final = {"agent_response", "error"}
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Sighting:
    """What was seen of one task; moments are of `time.perf_counter()`."""

    def __init__(self) -> None:
        self.first_chunk: float | None = None
        self.ended: float | None = None
        self.ending = ""
        """`completed`, or the code of the error that ended it."""
        self.over: Final = asyncio.Event()


class Follower:
    """Follows one session while `following` lasts."""

    def __init__(self, target: Target, session: str) -> None:
        self.closes: Final[Counter[int]] = Counter()
        """By code, of sockets that were made anew."""
        self._opened: Final = asyncio.Event()
        # Why there is no socket, as far as that was seen last.
        self._trouble = ""
        self._fault: BenchError | None = None
        self._target, self._session = target, session
        self._position = ""
        self._sightings: dict[str, Sighting] = {}

    def sighting(self, task_id: str) -> Sighting:
        """What was seen of a task so far; its first frames may be here before the 202."""
        return self._sightings.setdefault(task_id, Sighting())

    async def open(self, patience: float) -> None:
        """Return once a socket is open; raises `BenchError` where none is within `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._opened.wait()
        except TimeoutError:
            raise BenchError(f"no WebSocket within {patience:g} s: {self._trouble}") from None
        self._raise_fault()

    async def ending(self, task_id: str, patience: float) -> Sighting:
        """What was seen of a task by its ending, or within `patience` seconds; raises `BenchError`."""
        seen = self.sighting(task_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await seen.over.wait()
        if seen.ended is None:
            self._raise_fault()
        return seen

    async def run(self) -> None:
        """Follow until cancelled, or until coming back is of no use."""
        try:
            while True:
                pause = await self._connected()
                await asyncio.sleep(pause)
        except BenchError as fault:
            self._fault = fault
            self._opened.set()
            for seen in self._sightings.values():
                seen.over.set()

    def _raise_fault(self) -> None:
        if self._fault:
            raise self._fault

    async def _connected(self) -> float:
        """One connection from its beginning to its end; how long to wait for the next."""
        url = self._target.socket_url(self._session, self._position)
        try:
            async with connect(
                url, additional_headers=self._target.headers(), compression=None, proxy=None, max_size=None
            ) as socket:
                with suppress(websockets.ConnectionClosed):
                    await self._read(socket)
                return self._come_back(socket.close_code or 1006, socket.close_reason or "")
        except (OSError, WebSocketException) as error:
            self._trouble = str(error)
            return BACK_OFF_SECONDS

    async def _read(self, socket: websockets.ClientConnection) -> None:
        while True:
            self._take(_decode(await socket.recv()))

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "connection_ack":
            if not self._position or not frame["data"]["recovered"]:
                self._position = frame["data"]["position"]
            self._opened.set()
        self._position = frame.get("position", self._position)
        task = frame.get("task_id")
        if not task:
            return
        seen = self.sighting(task)
        if frame["type"] == "agent_chunk" and seen.first_chunk is None:
            seen.first_chunk = time.perf_counter()
        elif frame["type"] in _ENDINGS:
            seen.ended = time.perf_counter()
            seen.ending = "completed" if frame["type"] == "agent_response" else frame["data"]["code"]
            seen.over.set()

    def _come_back(self, code: int, reason: str) -> float:
        self.closes[code] += 1
        self._trouble = f"the WebSocket was closed with {code} {reason}".strip()
        if code in _NO_RETURN:
            raise BenchError(self._trouble)
        return _told(reason) or BACK_OFF_SECONDS * random.uniform(0.5, 1.5)


@asynccontextmanager
async def following(target: Target, session: str, patience: float) -> AsyncGenerator[Follower]:
    """Follows a session for the length of the block; raises `BenchError` where no socket opens within `patience`."""
    follower = Follower(target, session)
    running = asyncio.create_task(follower.run())
    try:
        await follower.open(patience)
        yield follower
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _told(reason: str) -> float:
    """The seconds that a close asks to wait, 0 where it does not say."""
    try:
        return float(_decode(reason.encode())["retry_after_ms"]) / 1000
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return 0.0
