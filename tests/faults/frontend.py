"""A frontend of one session: its socket is lost all the time, and it comes back with its position."""

import asyncio
import json
import random
import time
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from tests.contract.socket_client import EVENT_TYPES, dial
from tests.faults.record import Connection, Customer, Followed, Frame, SessionKey, View, place_of
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

_SILENCE: Final = 4.0
"""Seconds without a frame after which it asks, and as many again after which it goes elsewhere."""


class Frontend:
    """What it saw is in `followed`. While `restless`, it cuts its socket without a close frame every few seconds."""

    def __init__(
        self,
        key: SessionKey,
        customer: Customer,
        ports: list[int],
        http: httpx.AsyncClient,
        chance: random.Random,
    ) -> None:
        self.followed = Followed(key)
        self.restless = True
        self._customer = customer
        self._ports = ports
        self._http = http
        self._chance = chance
        self._views: set[asyncio.Task[None]] = set()
        self._socket: ClientConnection | None = None
        self._asked: dict[str, asyncio.Future[dict[str, Any] | None]] = {}

    @property
    def position(self) -> str | None:
        """The last position that it has."""
        return self.followed.connections[-1].resumes_at if self.followed.connections else None

    @property
    def headers(self) -> dict[str, str]:
        """Who it is, in requests."""
        key, customer = self.followed.key, self._customer
        return {"X-Tenant-ID": customer.id, "X-Tenant-Tier": customer.tier, "X-Session-ID": key.session}

    async def run(self) -> None:
        """Follows until it is cancelled."""
        while True:
            replica = self._chance.randrange(len(self._ports))
            try:
                async with dial(self._url(replica), open_timeout=4, close_timeout=0.5) as socket:
                    await self._follow(socket, replica)
            except (OSError, TimeoutError, WebSocketException, EOFError) as end:
                self._note_end(repr(end))
            await asyncio.sleep(self._chance.uniform(0.05, 0.5))

    async def view(self) -> View:
        """The session as any replica tells it; asks until one does."""
        while True:
            port = self._chance.choice(self._ports)
            url = f"http://127.0.0.1:{port}/api/chat/sessions/{self.followed.key.session}"
            try:
                answer = await self._http.get(url, headers=self.headers)
                if answer.status_code == 200:
                    body = answer.json()
                    tasks = {ledger["task_id"]: ledger for ledger in body["tasks"]}
                    return View(time.time(), body["position"], tasks)
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.3)

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        """The frame that answers this one, which has a `request_id`; None where the socket broke or stayed silent.

        ConnectionError where there is no socket, so that nothing was sent.
        """
        if self._socket is None:
            raise ConnectionError("no socket")
        future = asyncio.get_running_loop().create_future()
        self._asked[frame["request_id"]] = future
        try:
            async with asyncio.timeout(7):
                await self._socket.send(json.dumps(frame))
                return await future
        except (TimeoutError, WebSocketException, OSError):
            return None
        finally:
            self._asked.pop(frame["request_id"], None)

    def has_reached(self, position: str) -> bool:
        """Whether it has seen everything up to there."""
        mine, wanted = self.position, place_of(position)
        return mine is not None and place_of(mine).offset >= wanted.offset

    def _url(self, replica: int) -> str:
        given = {"tenant_id": self._customer.id, "tier": self._customer.tier, "position": self.position}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return f"ws://127.0.0.1:{self._ports[replica]}/ws/{self.followed.key.session}?{query}"

    async def _follow(self, socket: ClientConnection, replica: int) -> None:
        asked = self.position
        ack = json.loads(await _received(socket, 5))["data"]
        connection = Connection(time.time(), replica, asked, ack["recovered"], ack["position"])
        self.followed.connections.append(connection)
        if not connection.recovered:
            self._look_at(connection)
        self._socket = socket
        try:
            await self._until_cut(socket, connection)
        finally:
            self._socket = None
            for future in self._asked.values():
                if not future.done():
                    future.set_result(None)

    async def _until_cut(self, socket: ClientConnection, connection: Connection) -> None:
        cut_at = time.monotonic() + self._chance.uniform(1, 8)
        while not (self.restless and time.monotonic() > cut_at):
            for_long = cut_at - time.monotonic() if self.restless else _SILENCE
            await self._read(socket, connection, min(_SILENCE, max(0.01, for_long)))
        socket.transport.abort()
        connection.end = "cut by the client"

    async def _read(self, socket: ClientConnection, connection: Connection, patience: float) -> None:
        try:
            text = await _received(socket, patience)
        except TimeoutError:
            if patience == _SILENCE:
                await socket.send('{"type": "ping"}')
                text = await _received(socket, _SILENCE)
            else:
                return
        frame: dict[str, Any] = json.loads(text)
        if event := _event(frame):
            connection.frames.append(event)
        elif (future := self._asked.get(frame["data"].get("request_id", ""))) and not future.done():
            future.set_result(frame)

    def _look_at(self, connection: Connection) -> None:
        async def look() -> None:
            connection.view = await self.view()

        task = asyncio.create_task(look())
        self._views.add(task)
        task.add_done_callback(self._views.discard)

    def _note_end(self, end: str) -> None:
        if self.followed.connections and not self.followed.connections[-1].end:
            self.followed.connections[-1].end = end


async def _received(socket: ClientConnection, within: float) -> str | bytes:
    """The next message; not by `wait_for`, which Python 3.11 lets overhear that it is cancelled."""
    async with asyncio.timeout(within):
        return await socket.recv()


def _event(frame: dict[str, Any]) -> Frame | None:
    if frame["type"] not in EVENT_TYPES or "position" not in frame:
        return None
    return Frame(
        time.time(),
        frame["type"],
        frame["task_id"],
        frame["position"],
        frame.get("covers", 1),
        frame["data"],
    )
