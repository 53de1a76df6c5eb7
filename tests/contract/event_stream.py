"""Server-Sent Events as `EventSource` reads them, with every line kept."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tests.contract.client import Caller

Event = dict[str, str]
"""The fields of one event by name, as they came: `id`, `data`, …"""


class EventStream:
    """One open response. `comments` and `retries` are what came besides events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments: list[str] = []
        self.retries: list[int] = []
        self._lines = response.aiter_raw()
        self._buffer = b""

    async def event(self, within: float = 5) -> Event:
        """The next event; comments and a bare `retry` before it are noted."""
        async with asyncio.timeout(within):
            while not (event := self._parsed(await self._block())):
                pass
        return event

    async def frame(self, within: float = 5) -> dict[str, Any]:
        """The WebSocket's frame in the next event."""
        return json.loads((await self.event(within))["data"])

    async def until(self, kind: str) -> list[tuple[Event, dict[str, Any]]]:
        """Events with their frames, up to and with the first of this type."""
        found: list[tuple[Event, dict[str, Any]]] = []
        while not found or found[-1][1]["type"] != kind:
            event = await self.event()
            found.append((event, json.loads(event["data"])))
        return found

    async def comment(self, within: float) -> None:
        """Waits for the next comment."""
        had = len(self.comments)
        async with asyncio.timeout(within):
            while len(self.comments) == had:
                self._parsed(await self._block())

    async def _block(self) -> list[str]:
        """The lines up to the next empty one; they end in LF alone."""
        while b"\n\n" not in self._buffer:
            self._buffer += await anext(self._lines)
        assert b"\r" not in self._buffer
        block, _, self._buffer = self._buffer.partition(b"\n\n")
        return block.decode().split("\n")

    def _parsed(self, lines: list[str]) -> Event:
        event: Event = {}
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not name:
                self.comments.append(value)
            elif name == "retry":
                self.retries.append(int(value))
            else:
                assert name not in event, f"{name} twice: {lines}"
                event[name] = value
        return event


@asynccontextmanager
async def events(
    http: httpx.AsyncClient,
    session_id: str,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> AsyncGenerator[EventStream]:
    """The stream of a session; it has to be one."""
    path = f"/api/chat/sessions/{session_id}/events"
    async with http.stream("GET", path, headers=headers, params=params) as response:
        assert response.status_code == 200, await response.aread()
        yield EventStream(response)


@asynccontextmanager
async def followed(
    caller: Caller, headers: Mapping[str, str] | None = None, **params: str
) -> AsyncGenerator[EventStream]:
    """The stream of the caller's session, its identity in headers, acknowledged."""
    identity = {"X-Tenant-ID": caller.tenant.id, "X-Tenant-Tier": caller.tenant.tier}
    async with events(caller.http, caller.session_id, {**identity, **(headers or {})}, params) as stream:
        assert (await stream.frame())["type"] == "connection_ack"
        yield stream
