"""Answers to requests that came whole: past ASGI, whose channels are for what is still on its way."""

import asyncio
from typing import Any, Final

from orchestrator.api.bodies import WHOLE_BODY
from orchestrator.api.endpoints import Handler, Handlers, KnownRequest
from orchestrator.api.exchange import Exchange, on_the_wire
from orchestrator.api.http_protocol import PARSED_AT_ONCE
from orchestrator.api.request_headers import headers_of
from orchestrator.api.upgrading import Upgrading

REST_SECONDS: Final = 0.05
"""How long a request waits for the rest of its body before it goes the way of every other."""
_UNUSUAL: Final = frozenset({"expect", "transfer-encoding", "upgrade"})
"""Headers that somebody on the way through ASGI has to look at."""


class WholeRequests(Upgrading):
    """Passed to uvicorn as `http=`, with who answers what is posted to the `direct` paths.

    Such a request waits a moment for its body, which many clients send behind the head. If that was all of it, it is
    answered here; else it begins then as every other does.
    """

    def __init__(self, *args: Any, direct: Handlers, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._direct = direct
        self._handler: Handler | None = None
        self._body = b""
        self._rest_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """What did not come whole is given up."""
        self._stop_waiting()
        self._handler = None
        super().connection_lost(exc)

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
            and not headers_of(self.scope).has_any(_UNUSUAL)  # pyright: ignore[reportArgumentType]
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
            self._stop_waiting()
            self._start(handler)
        super().on_message_complete()

    def _parse_piece(self, piece: bytes) -> None:
        super()._parse_piece(piece)
        if self._handler is None:
            return
        if len(self._body) >= PARSED_AT_ONCE:
            self._begin_late()
        elif self._rest_timer is None:
            self._rest_timer = self.loop.call_later(REST_SECONDS, self._begin_late)

    def _begin_late(self) -> None:
        """The rest of it is still on its way."""
        self._stop_waiting()
        self._handler = None
        if not self._is_ending():
            super()._begin()
            super().on_body(self._body)

    def _stop_waiting(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    def _start(self, handler: Handler) -> None:
        scope: Any = self.scope
        scope.update(method="POST", path=self.url.decode(), raw_path=self.url, query_string=b"")
        scope[WHOLE_BODY], self._body = self._body, b""
        exchange = self._running = Exchange()
        self.cycle = exchange  # type: ignore[assignment]
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
