"""A WebSocket client that keeps every frame and proves by arithmetic that none is missing (contract §4)."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from tests.contract.client import Caller
from tests.servers import OrchestratorServer
from tests.strict_json import strict_json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]

FRAME_MEMBERS: Final = {
    "type",
    "data",
    "timestamp",
    "session_id",
    "tenant_id",
    "task_id",
    "position",
    "covers",
}
EVENT_TYPES: Final = {"task_update", "agent_chunk", "agent_response", "error"}
ENDINGS: Final = {"agent_response", "error"}

_POSITION: Final = re.compile(r"^([^:]+):(\d+)-(.+)$")
_TIME: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def offset_of(position: str) -> int:
    """The offset in a position."""
    return _parts(position)[1]


def epoch_of(position: str) -> str:
    """The epoch in a position."""
    return _parts(position)[0]


def _parts(position: str) -> tuple[str, int]:
    match = _POSITION.match(position)
    assert match, f"no position: {position!r}"
    return match[1], int(match[2])


@asynccontextmanager
async def dial(url: str, **options: Any) -> AsyncGenerator[ClientConnection]:
    """A bare connection; frames of any size, and nothing that the library does by itself."""
    plain: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None}
    async with connect(url, **plain, **options) as connection:
        yield connection


def socket_url(server: OrchestratorServer, session: str, **parameters: str | None) -> str:
    """The address of a session's events; parameters that are None are left out."""
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return f"{server.ws_url}/ws/{quote(session)}?{query}"


async def closing(connection: ClientConnection, within: float = 10) -> tuple[int, str]:
    """Reads on to the close; its code and reason, 1006 where the server sent none."""
    try:
        async with asyncio.timeout(within):
            while True:
                await connection.recv()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


@asynccontextmanager
async def watch(
    server: OrchestratorServer,
    caller: Caller,
    position: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    **parameters: str | None,
) -> AsyncGenerator["Socket"]:
    """A socket on the caller's session that has been acknowledged."""
    tenant = caller.tenant
    given = {"tenant_id": tenant.id, "tier": tenant.tier, "position": position, **parameters}
    async with dial(socket_url(server, caller.session_id, **given), **(options or {})) as connection:
        yield await Socket(connection, caller.session_id, tenant.id).start(position)


class Closed(AssertionError):
    """The server closed where a frame was expected."""


class Socket:
    """One connection. Every frame is checked as it is read, the next of the log against the last."""

    def __init__(self, connection: ClientConnection, session: str, tenant: str) -> None:
        self.connection = connection
        self.frames: list[Frame] = []
        self.last: str | None = None
        """The position that a client would resume from."""
        self._names = {"session_id": session, "tenant_id": tenant}

    @property
    def events(self) -> list[Frame]:
        """The frames read so far that are events of the log."""
        return [frame for frame in self.frames if "position" in frame]

    async def start(self, position: str | None) -> Self:
        """Reads the acknowledgement, which comes first."""
        ack = await self.frame()
        assert ack["type"] == "connection_ack", f"the first frame is {ack}"
        resumed = position if ack["data"]["recovered"] else None
        # What "earliest" begins with is only known from its first event.
        self.last = None if resumed == "earliest" else resumed or ack["data"]["position"]
        return self

    @property
    def ack(self) -> dict[str, Any]:
        """The data of the acknowledgement."""
        return self.frames[0]["data"]

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Sends a frame."""
        await self.connection.send(json.dumps(frame))

    async def frame(self, within: float = 10) -> Frame:
        """The next frame, whatever it is."""
        try:
            text = await asyncio.wait_for(self.connection.recv(), within)
        except TimeoutError:
            raise AssertionError(f"no frame within {within} s; the last was {self.frames[-1:]}") from None
        except ConnectionClosed as closed:
            raise Closed(f"closed instead of a frame: {closed}") from None
        assert isinstance(text, str), "a binary frame"
        frame = strict_json(text)
        self._check(frame)
        self.frames.append(frame)
        return frame

    async def event(self, within: float = 10) -> Frame:
        """The next event of the log."""
        while "position" not in (frame := await self.frame(within)):
            pass
        return frame

    async def until(self, kind: str, *, task: str | None = None, status: str | None = None) -> Frame:
        """Reads on to the next frame of this type (and task, and `data.status`)."""
        while True:
            frame = await self.frame()
            if frame["type"] != kind or task not in (None, frame.get("task_id")):
                continue
            if status in (None, frame["data"].get("status")):
                return frame

    async def ending(self, task: str) -> Frame:
        """Reads on to the frame that ends `task`."""
        while True:
            frame = await self.event()
            if frame["type"] in ENDINGS and frame["task_id"] == task:
                return frame

    async def answer(self, frame: Mapping[str, Any]) -> Frame:
        """Sends a frame and reads on to the next one that is no event."""
        await self.send(frame)
        while "position" in (answer := await self.frame()):
            pass
        return answer

    async def caught_up(self) -> list[Frame]:
        """Reads the backlog, up to where the log stood at the acknowledgement; every event so far."""
        while self.last is None or offset_of(self.last) < offset_of(self.ack["position"]):
            await self.event()
        return self.events

    async def closing(self, within: float = 10) -> tuple[int, str]:
        """Reads on to the close; its code and reason."""
        return await closing(self.connection, within)

    def _check(self, frame: Frame) -> None:
        assert frame.keys() <= FRAME_MEMBERS, f"unknown members: {frame}"
        assert {"type", "data", "timestamp"} <= frame.keys(), f"members are missing: {frame}"
        assert _TIME.match(frame["timestamp"]), f"not RFC 3339 in UTC: {frame}"
        assert {name: frame.get(name) for name in self._names} == self._names, f"not ours: {frame}"
        if "position" in frame:
            self._follow(frame)
        else:
            assert "covers" not in frame, f"covers without a position: {frame}"

    def _follow(self, frame: Frame) -> None:
        assert frame["type"] in EVENT_TYPES, f"no event has this type: {frame}"
        assert frame.get("task_id"), f"an event without its task: {frame}"
        covers = frame.get("covers", 1)
        assert covers >= 1, frame
        epoch, offset = _parts(frame["position"])
        if self.last is not None:
            last_epoch, last = _parts(self.last)
            assert (epoch, offset) == (last_epoch, last + covers), f"a hole after {self.last}: {frame}"
        self.last = frame["position"]
