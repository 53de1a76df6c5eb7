"""An OpenAI-compatible server whose model says what a test has written down."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.servers import free_port, wait_until

Reply = Sequence[str] | dict[str, Any] | int
"""Pieces of text, a refusal in words, calls of tools by name (text may go before, under ""), or an HTTP status."""

USAGE: Final = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
"""What each answer has used, as far as the server is asked for that."""


class ModelServer:
    """Gives one reply a request, in order. After the last one it says a word and then nothing more."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        """Set when a client went away in the middle of an answer."""
        self._replies = list(replies)
        self._port = free_port()

    @property
    def url(self) -> str:
        """What clients call the base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self]:
        """Listens for the length of the block."""
        app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, port=self._port, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve())
        await wait_until(lambda: server.started)
        try:
            yield self
        finally:
            server.should_exit = True
            await serving

    async def _complete(self, request: Request) -> Response:
        asked = await request.json()
        self.requests.append(asked)
        reply = self._replies.pop(0) if self._replies else None
        if isinstance(reply, int):
            error = {"message": "no, and the key is secret-key"}
            return JSONResponse({"error": error}, reply, {"retry-after-ms": "1"})
        body = self._hold() if reply is None else _said(reply, counted="stream_options" in asked)
        return StreamingResponse(body, media_type="text/event-stream")

    async def _hold(self) -> AsyncGenerator[str, None]:
        try:
            yield _event({"role": "assistant", "content": "Well"})
            await asyncio.Event().wait()
        finally:
            self.left.set()


async def _said(reply: Sequence[str] | dict[str, Any], *, counted: bool) -> AsyncGenerator[str, None]:
    yield _event({"role": "assistant"})
    calls: dict[str, Any] = dict(reply) if isinstance(reply, dict) else {}
    pieces = [calls.pop("", "")] if isinstance(reply, dict) else reply
    for piece in filter(None, pieces):
        yield _event({"refusal" if isinstance(reply, str) else "content": piece})
    for index, (name, arguments) in enumerate(calls.items()):
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        function = {"name": name, "arguments": written}
        call = {"index": index, "id": f"call-{name}", "type": "function", "function": function}
        yield _event({"tool_calls": [call]})
    yield _event({}, "tool_calls" if calls else "stop")
    if counted:
        yield _chunk(choices=[], usage=USAGE)
    yield "data: [DONE]\n\n"


def _event(delta: dict[str, Any], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return _chunk(choices=[choice])


def _chunk(**members: Any) -> str:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "tiny", **members}
    return f"data: {json.dumps(chunk)}\n\n"
