"""A service small enough to test how one is run: `python tiny_service.py PORT MODE`.

Modes: plain, slow-start, broken, endless-drain, endless-thread.

Each step is a line on stdout. `/slow` answers when the drain has begun.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from orchestrator.api.pending_connections import PendingConnections
from orchestrator.errors import OrchestratorError
from orchestrator.listener import listen
from orchestrator.metrics import Metrics
from orchestrator.server import run
from orchestrator.settings import Settings
from orchestrator.telemetry import Log


class Runtime:
    """What the server expects of an application's `state.runtime`."""

    def __init__(self, mode: str) -> None:
        self.draining = asyncio.Event()
        self._mode = mode

    async def drain(self) -> None:
        say("draining")
        self.draining.set()
        if self._mode == "endless-drain":
            await asyncio.Event().wait()


def say(step: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


def service(mode: str) -> Starlette:
    """The application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        say("starting")
        if mode == "slow-start":
            await asyncio.Event().wait()
        if mode == "broken":
            raise OrchestratorError("the schema is behind: run `orchestrator db upgrade`")
        app.state.runtime = Runtime(mode)
        if mode == "endless-thread":
            threading.Thread(target=threading.Event().wait).start()
        say("started")
        yield
        say("stopped")

    async def slow(_: Request) -> PlainTextResponse:
        say("asked")
        await app.state.runtime.draining.wait()
        return PlainTextResponse("answered")

    app = Starlette(routes=[Route("/slow", slow)], lifespan=lifespan)
    app.state.direct = {}
    app.state.pending = PendingConnections((), Metrics(), Log(structlog.get_logger()))
    return app


def main(port: str, mode: str = "plain") -> None:
    """Runs it as `orchestrator serve` would."""
    settings = Settings.from_environment(os.environ)
    with listen("127.0.0.1", int(port)) as listener:
        try:
            run(service(mode), settings, listener)
        except OrchestratorError as error:
            sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
