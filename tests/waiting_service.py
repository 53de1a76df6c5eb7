"""A server in this process whose applications wait, answer much, or never end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from tests.in_process import serving_app


class Service:
    """A server with a few routes; `heard` is what its applications noticed."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.port = 0
        self.server: uvicorn.Server

    @property
    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/", self._names, methods=["GET", "POST"]),
                Route("/slow", self._slow),
                Route("/wait", self._wait, methods=["GET", "POST"]),
                Route("/large", self._large),
                Route("/endless", self._endless),
            ]
        )

    @contextmanager
    def running(self, **settings: str) -> Generator["Service"]:
        """While it runs."""
        with serving_app(self.app, **settings) as (self.port, self.server):
            yield self

    @property
    def connections(self) -> int:
        """How many the server has open."""
        return len(self.server.server_state.connections)

    def connect(self, *sent: bytes, unread: bool = False) -> socket.socket:
        """A connection on which this was sent; one that leaves its answers unread has no room for them."""
        client = socket.socket()
        if unread:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        client.settimeout(10)
        client.connect(("127.0.0.1", self.port))
        client.sendall(b"".join(sent))
        return client

    async def _names(self, request: Request) -> PlainTextResponse:
        body = await request.body()
        return PlainTextResponse(
            " ".join([name.decode() for name, _ in request.headers.raw] + [body.decode()])
        )

    async def _slow(self, request: Request) -> PlainTextResponse:
        await request.body()
        await asyncio.sleep(0.01)
        return PlainTextResponse("")

    async def _wait(self, request: Request) -> PlainTextResponse:
        self.heard.append("asked")
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.heard.append("left")
        return PlainTextResponse("")

    async def _large(self, request: Request) -> PlainTextResponse:
        self.heard.append("asked")
        return PlainTextResponse("x" * int(request.query_params["size"]))

    async def _endless(self, _: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.01)
            finally:
                self.heard.append("ended")

        return StreamingResponse(pieces())
