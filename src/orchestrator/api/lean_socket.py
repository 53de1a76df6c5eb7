"""uvicorn's WebSocket with little in each: thousands come at once, and then most of them are at rest."""

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from orchestrator.api.inbox import Gate, Inbox
from orchestrator.api.text_frames import TEXTS

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_CONNECT: Final[Any] = {"type": "websocket.connect"}


class LeanSocket(WebSocketsSansIOProtocol):
    """How it begins: with a head that HTTP's parser took apart, or with one for the library to parse.

    What is the same for all at first is the class's; the library's parser is made when there is something for it.
    """

    # At INFO the original logs the URL with its query, at DEBUG each frame: tickets and messages.
    logger = logging.getLogger("uvicorn.error.websocket")
    handshake_initiated = False
    handshake_complete = False
    close_sent = False
    disconnected = False
    read_paused = False
    close_timer = None
    initial_response = None
    curr_msg_data_type = "bytes"

    # The original's would make a parser, an id for logs, a queue, an event: a twentieth of what a connect costs.
    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self.config = config
        self.app: Any = config.loaded_app  # pyright: ignore[reportUnknownMemberType]
        self.loop = asyncio.get_running_loop()
        self.root_path = config.root_path
        self.asgi_version = config.asgi_version
        self.app_state = app_state
        self.connections = server_state.connections
        self.tasks = server_state.tasks
        self.default_headers = server_state.default_headers
        self.ping_interval = config.ws_ping_interval
        self.ping_timeout = config.ws_ping_timeout
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Gate()  # type: ignore[assignment]
        self.frames: list[bytes] = []
        self._answer: bytes | None = None
        self._library: ServerProtocol | None = None
        if self.logger.level == logging.NOTSET:
            self.logger.setLevel(logging.WARNING)

    @property
    def conn(self) -> ServerProtocol:  # type: ignore[override]
        """The library's parser, made when it is first asked for."""
        if self._library is None:
            # Where there is an answer already, frames follow; else a head.
            state = State.CONNECTING if self._answer is None else State.OPEN
            self._library = ServerProtocol(state=state, max_size=self.config.ws_max_size, logger=self.logger)
            self._library.debug = False
        return self._library

    def take_handshake(self, came: HttpToolsProtocol, answer: bytes) -> None:
        """Begins with a handshake whose head was parsed already, and that is accepted by `answer`."""
        self.transport, self.server, self.client = came.transport, came.server, came.client
        self.scheme = "wss" if came.scheme == "https" else "ws"
        self.connections.add(self)
        self._answer = answer
        self.handshake_initiated = True
        raw_path, _, query = came.url.partition(b"?")
        scope: Any = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + unquote(raw_path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + raw_path,
            "query_string": query,
            "headers": came.scope["headers"],
            "subprotocols": [],
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}, TEXTS: self},
        }
        self.scope = scope
        self.queue.put_nowait(_CONNECT)
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    def handle_connect(self, event: Request) -> None:
        """Begins with a head that the library parsed; the application starts in the loop's next turn."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self.scope["extensions"][TEXTS] = self  # type: ignore[index]

    async def send(self, message: "ASGISendEvent") -> None:
        """Accepts by the answer that is there; ours adds no header to it."""
        if message["type"] != "websocket.accept" or self._answer is None:
            await super().send(message)
        elif not self.transport.is_closing():
            self.handshake_complete = True
            self.transport.write(self._answer)
            self.start_keepalive()

    def forget_handshake(self) -> None:
        """What only the handshake needed goes."""
        if self._answer is None:
            self.request.headers.clear()  # the parser may keep the request
            del self.request, self.response
        else:
            self._answer = b""
        del self.scope
