"""Answers to requests that came whole: past ASGI, whose channels are for what is still on its way."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.types import Scope

from orchestrator.api.bodies import WHOLE_BODY
from orchestrator.api.endpoints import Handler, Handlers, KnownRequest
from orchestrator.api.exchange import Exchange, on_the_wire
from orchestrator.api.http_protocol import HttpProtocol
from orchestrator.api.request_headers import headers_of

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_UNUSUAL: Final = frozenset(
    {"expect", "transfer-encoding", "upgrade", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}
)
"""Headers that somebody on the way through ASGI has to look at."""


class WholeRequests(HttpProtocol):
    """Passed to uvicorn as `http=`, with who answers what is posted to the `direct` paths.

    Such a request waits until what was read together with its head is parsed. If that was all of it, it is answered
    here; else it begins then as every other does.
    """

    def __init__(self, *args: Any, direct: Handlers, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._direct = direct
        self._handler: Handler | None = None
        self._body = b""

    def _begin(self) -> None:
        handler = self._direct.get(self.url)
        if handler is not None and self._is_plain():
            self._handler, self._body = handler, b""
        else:
            super()._begin()

    def _is_plain(self) -> bool:
        """Whether it asks nothing of the connection, and stands behind no other request or unread answer."""
        parser: Any = self.parser
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and (not self.cycle or self.cycle.response_complete)
            and not self.flow.write_paused
            and not headers_of(cast("Scope", self.scope)).among(_UNUSUAL)
        )

    def on_body(self, body: bytes) -> None:
        """Keeps what may be all of it."""
        if self._handler is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """It came whole."""
        handler, self._handler = self._handler, None
        if handler is not None:
            self._start(handler)
        super().on_message_complete()

    def _parse_piece(self, piece: bytes) -> None:
        super()._parse_piece(piece)
        if self._handler is not None:  # the rest of it is still on its way
            self._handler = None
            super()._begin()
            super().on_body(self._body)

    def _start(self, handler: Handler) -> None:
        scope = cast("Scope", self.scope)
        scope.update(method="POST", path=self.url.decode(), raw_path=self.url, query_string=b"")
        scope[WHOLE_BODY], self._body = self._body, b""
        exchange = self._running = Exchange()
        self.cycle = cast("RequestResponseCycle", exchange)
        task = self.loop.create_task(self._answer(exchange, handler, KnownRequest(scope)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, exchange: Exchange, handler: Handler, request: KnownRequest) -> None:
        try:
            response = await handler(request)
        except asyncio.CancelledError:  # the server is in a hurry
            self.transport.close()
            raise
        exchange.response_complete = True
        if exchange.disconnected:
            return
        headers = self.server_state.default_headers
        if exchange.keep_alive:
            self.transport.write(on_the_wire(response, headers))
        else:
            self.transport.write(on_the_wire(response, [*headers, (b"connection", b"close")]))
            self.transport.close()
        self.on_response_complete()
