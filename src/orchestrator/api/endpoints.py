"""From the router to a handler: as a class, which gets the raw channel.

Around a function Starlette puts two layers that answer exceptions; that is the edge's affair.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.datastructures import QueryParams
from starlette.requests import Request, empty_receive
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from orchestrator.api.request_headers import RequestHeaders, headers_of

_NO_QUERY: Final = QueryParams()

SocketHandler = Callable[[WebSocket], Awaitable[None]]


class KnownRequest(Request):
    """A request whose headers the edge has looked at already."""

    __slots__ = ("headers",)  # in place of the original's property, which is asked a dozen times a request

    def __init__(self, scope: Scope, receive: Receive = empty_receive) -> None:
        super().__init__(scope, receive)
        self.headers: RequestHeaders = headers_of(scope)  # type: ignore[override]


Handler = Callable[[KnownRequest], Awaitable[Response]]
Handlers = Mapping[bytes, Handler]
"""By the path."""


class Endpoint:
    """Answers a request with what its handler returns."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        response = await self.handler(KnownRequest(scope, receive))
        await response(scope, receive, send)


class KnownSocket(WebSocket):
    """A socket whose headers and query are taken apart once; most have no query."""

    __slots__ = ("headers", "query_params")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        query = scope["query_string"]
        self.headers: RequestHeaders = headers_of(scope)  # type: ignore[override]
        self.query_params: QueryParams = QueryParams(query) if query else _NO_QUERY  # type: ignore[override]


class SocketEndpoint:
    """Leaves a socket to its handler."""

    def __init__(self, handler: SocketHandler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one handshake."""
        await self._handler(KnownSocket(scope, receive, send))
