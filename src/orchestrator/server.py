"""Runs the web application: one process with uvicorn, or several on one port."""

import asyncio
import faulthandler
import logging
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette

from orchestrator.api.endpoints import Handlers
from orchestrator.api.keepalive import Keepalive
from orchestrator.api.pending_connections import PendingConnections
from orchestrator.api.websocket_protocol import WebSocketProtocol
from orchestrator.api.whole_requests import WholeRequests
from orchestrator.errors import OrchestratorError
from orchestrator.garbage import collect_rarely
from orchestrator.listener import BACKLOG
from orchestrator.settings import Settings
from orchestrator.supervisor import IMPATIENCE, Child, Supervisor
from orchestrator.telemetry import configure_logging

GRACE: Final = 6
"""Seconds after the drain for what is still being answered; the slowest answer takes 5."""

CLOSE_WITHIN: Final = 8
"""Seconds for the application to close what it has open; a Redis that is away must not keep us."""

_TICK_SECONDS: Final = 1.0

WORKER_GROUP: Final = "ORCHESTRATOR_WORKER_GROUP"
"""Same for all processes on one port: each of them answers `/metrics` for all of them."""

_ASGI = Callable[..., Awaitable[None]]


def configuration(
    app: _ASGI, settings: Settings, pending: PendingConnections, direct: Handlers
) -> uvicorn.Config:
    """What uvicorn is told; each line is a default of it that is wrong for us."""
    keepalive = Keepalive(settings.websocket_ping_interval, settings.websocket_ping_timeout)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", partial(WholeRequests, pending=pending, direct=direct)),
        ws=cast("type[asyncio.Protocol]", partial(WebSocketProtocol, keepalive=keepalive)),
        ws_max_size=65_536,
        ws_per_message_deflate=False,  # 64 KiB a connection, against 14
        ws_ping_interval=settings.websocket_ping_interval,
        ws_ping_timeout=settings.websocket_ping_timeout,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,  # it writes query strings
        server_header=False,
        proxy_headers=False,  # the application's own middleware does it, with the forwarded host
        backlog=BACKLOG,
        timeout_keep_alive=75,  # longer than a proxy keeps its side, or it sends into a closed connection
        timeout_graceful_shutdown=GRACE,
    )


class Server(uvicorn.Server):
    """uvicorn, except that a signal drains first, and that a start that fails says why in one line."""

    def __init__(self, app: Starlette, settings: Settings) -> None:
        super().__init__(configuration(self._application, settings, app.state.pending, app.state.direct))
        self._app = app
        self._drain_timeout = settings.drain_timeout
        self._drain: asyncio.Task[None] | None = None
        self._told_at: float | None = None
        self._serving: asyncio.Task[Any] | None = None
        self._news = asyncio.Event()
        self.failure: OrchestratorError | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Returns when it was told to stop and has done so."""
        self._serving = asyncio.current_task()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to serve; what the start has made stays."""
        await super().startup(sockets)
        collect_rarely()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain, then stop. Second: stop. The original would also die by the signal."""
        now = time.monotonic()
        if self._told_at is None:
            self._told_at = now
        elif now - self._told_at > IMPATIENCE:
            self.should_exit = self.force_exit = True
        if self._serving is not None:
            # While it starts it may wait for a Redis that never comes.
            told = self._serving.cancel if self._starting() else self._news.set
            self._serving.get_loop().call_soon_threadsafe(told)

    async def main_loop(self) -> None:
        """Ticks once a second, for the date, and when there is news; the original asks ten times a second."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._news.wait()
            self._news.clear()

    async def on_tick(self, counter: int) -> bool:
        """Whether to shut down: after the drain, while which requests are still answered."""
        if self._told_at is not None and self._drain is None:
            self._drain = asyncio.create_task(self._drained())
            self._drain.add_done_callback(lambda _: self._news.set())
        return await super().on_tick(counter) or (self._drain is not None and self._drain.done())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """In bounded time, and the application is always told: the original leaves that out in a hurry."""
        try:
            async with asyncio.timeout(GRACE + CLOSE_WITHIN):
                await super().shutdown(sockets)
                if self.force_exit:
                    await self.lifespan.shutdown()
        except TimeoutError:
            logging.getLogger(__name__).warning("not everything was closed in time")

    def _starting(self) -> bool:
        lifespan = getattr(self, "lifespan", None)
        return lifespan is None or not lifespan.startup_event.is_set()

    async def _drained(self) -> None:
        # uvicorn's own shutdown closes every socket at once, before the application hears of it.
        runtime = getattr(self._app.state, "runtime", None)
        if runtime is None:
            return
        try:
            async with asyncio.timeout(self._drain_timeout):
                await runtime.drain()
        except TimeoutError:
            logging.getLogger(__name__).warning("the drain took longer than %g s", self._drain_timeout)

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, _without_traceback(send))
        except OrchestratorError as error:
            self.failure = error
        except Exception:  # uvicorn does not look at what follows a `….failed`
            logging.getLogger(__name__).exception("the service could not start")


def _without_traceback(send: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def sent(message: Any) -> None:
        await send({"type": message["type"]} if message["type"].endswith(".failed") else message)

    return sent


def run(app: Starlette, settings: Settings, listener: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT; raises what the application's start raised."""
    server = Server(app, settings)
    try:
        server.run(sockets=[listener])
    except asyncio.CancelledError:
        return  # told to stop while it was starting
    except SystemExit:
        raise server.failure or SystemExit(1) from None
    finally:
        # A database driver's thread that hangs would keep the process for ever, deaf to signals.
        faulthandler.dump_traceback_later(CLOSE_WITHIN, exit=True)


def run_workers(
    settings: Settings, workers: int, listener: socket.socket, environment: Mapping[str, str]
) -> None:
    """Serves with `workers` processes that share `listener`; each one that dies is replaced."""
    configure_logging(settings.log_level, settings.log_format, settings.domain_name)
    child = Child(
        name="A server process",
        command=(sys.executable, "-m", "orchestrator", "serve", "--fd", str(listener.fileno())),
        environment={**environment, WORKER_GROUP: secrets.token_hex(8)},
        descriptors=(listener.fileno(),),
        stop_within=settings.drain_timeout + GRACE + 4,
    )
    asyncio.run(_supervised(child, workers))


async def _supervised(child: Child, workers: int) -> None:
    supervisor = Supervisor(logging.getLogger(__name__).warning)
    supervisor.listen_for_signals()
    for _ in range(workers):
        supervisor.start(child)
    try:
        await supervisor.wait()
    finally:
        await supervisor.stop(together=True)
