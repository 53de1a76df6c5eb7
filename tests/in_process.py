"""A server as in production, uvloop and all, in a thread of the test's process."""

import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from types import MappingProxyType

import structlog
import uvicorn
from tests.servers import wait_blocking

from orchestrator.api.endpoints import Handlers
from orchestrator.api.pending_connections import PendingConnections
from orchestrator.listener import listen
from orchestrator.metrics import Metrics
from orchestrator.server import configuration
from orchestrator.settings import Settings
from orchestrator.telemetry import Log


@contextmanager
def serving_app(
    app: Callable[..., Awaitable[None]], direct: Handlers = MappingProxyType({}), /, **settings: str
) -> Generator[tuple[int, uvicorn.Server]]:
    """Runs `app`; yields the port and the server. `direct`: whole_requests.py; `settings`: without ORCHESTRATOR_."""
    environ = {f"ORCHESTRATOR_{name.upper()}": value for name, value in settings.items()}
    read = Settings.from_environment(environ)
    pending = PendingConnections(read.trusted_proxies, Metrics(), Log(structlog.get_logger()))
    server = uvicorn.Server(configuration(app, read, pending, direct))
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_blocking(lambda: server.started, why="server started")
        yield listener.getsockname()[1], server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
