"""`GET /api/chat/sessions/{session_id}/events`: the session's log as Server-Sent Events (contract §3)."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.types import Receive, Send

from orchestrator.api.credentials import Credentials
from orchestrator.api.following import Draining, Following, Full
from orchestrator.api.headers import parameter, reader
from orchestrator.auth.identifier import Identifier
from orchestrator.delivery.connection import Connection, Gone
from orchestrator.errors import Problem

RETRY_MS: Final = 1_000
_POSITION: Final = re.compile(rb'"position":"([^"]+)"(?:,"covers":\d+)?}\Z').search

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class StreamOutlet:
    """Frames to a stream of events, comments in between."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        # Comments come from another task: two writes at once would mix.
        self._lock = asyncio.Lock()

    @property
    def at_once(self) -> None:
        """Nothing can: ASGI tells whether the peer reads only by letting us wait."""
        return None

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write each frame as one event."""
        await self._write(b"".join(map(_event, frames)))

    async def comment(self) -> None:
        """Show proxies and the peer that the stream lives."""
        await self._write(b": ping\n\n")

    async def close(self, code: int, reason: str) -> None:
        """End the stream; `EventSource` comes back by itself with its last id."""
        del code, reason
        with suppress(OSError, RuntimeError):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, data: bytes) -> None:
        async with self._lock:
            try:
                if not self._begun:
                    self._begun = True
                    await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                    data = b"retry: %d\n\n%b" % (RETRY_MS, data)
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            except OSError as error:
                raise Gone from error


def _event(frame: bytes) -> bytes:
    """Those of the log have their position as id."""
    position = _POSITION(frame)
    name = b"id: %b\n" % position[1] if position else b""
    return b"%bdata: %b\n\n" % (name, frame)


class EventStreams:
    """The route of Server-Sent Events."""

    def __init__(self, identifier: Identifier, credentials: Credentials, following: Following) -> None:
        self._identifier = identifier
        self._credentials = credentials
        self._following = following

    async def follow(self, request: Request, receive: Receive, send: Send) -> None:
        """Follow one session until either side ends it."""
        identity = reader(
            request.headers,
            request.query_params,
            request.path_params["session_id"],
            await self._credentials.of(request, "stream"),
            headers_only=self._identifier.trusts_headers_only,
        )
        position = request.headers.get("last-event-id") or parameter(request.query_params, "position")
        outlet = StreamOutlet(send)
        try:
            connection = await self._following.begin(outlet, identity, position)
        except (Full, Draining):
            raise Problem("unavailable", "no room for one more connection here", retry_after=2) from None
        watching = asyncio.create_task(_watch(receive, connection))
        beating = asyncio.create_task(self._beat(outlet, connection))
        try:
            await self._following.write(connection)
        finally:
            for task in (watching, beating):
                task.cancel()
            await asyncio.gather(watching, beating, return_exceptions=True)

    async def _beat(self, outlet: StreamOutlet, connection: Connection) -> None:
        while True:
            await asyncio.sleep(self._following.ping_interval)
            try:
                await outlet.comment()
            except Gone:
                connection.leave()
                return


async def _watch(receive: Receive, connection: Connection) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    connection.leave()
