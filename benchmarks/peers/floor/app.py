"""What the server alone costs: a bare ASGI app that reads a request and answers, and sends frames in a loop."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ANSWER: Final = b'{"task_id":"00000000-0000-0000-0000-000000000000","status":"queued"}'
HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """`/floor/http` answers 202 once it has read the body, `/floor/ws` sends what one message asks for."""
    match scope["type"], scope.get("path"):
        case "lifespan", _:
            await _live(receive, send)
        case "http", "/floor/http":
            await _answer(202, receive, send)
        case "http", "/health":
            await _answer(200, receive, send)
        case "http", _:
            await _answer(404, receive, send)
        case "websocket", "/floor/ws":
            await _stream(receive, send)
        case _:
            await send({"type": "websocket.close"})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(status: int, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": status, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


async def _stream(receive: Receive, send: Send) -> None:
    """`{"count":N,"size":B,"each":…}` brings N frames of B bytes; with `each` true every one is a write of its own.

    Otherwise what fits goes out together: uvloop writes once a turn of the loop.
    """
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        wanted = json.loads(message["text"])
        frame = {"type": "websocket.send", "text": "x" * wanted["size"]}
        for _ in range(wanted["count"]):
            await send(frame)
            if wanted["each"]:
                await asyncio.sleep(0)
