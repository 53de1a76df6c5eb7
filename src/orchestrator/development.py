"""`orchestrator dev`: everything on this machine, each part a process of its own, stopped together."""

import asyncio
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from orchestrator.embedded import (
    DEMO_AGENTS,
    DEMO_TENANT,
    DataInUseError,
    DataLock,
    EmbeddedValkey,
    ValkeyServer,
    load_demo,
)
from orchestrator.errors import OrchestratorError
from orchestrator.listener import listen, next_port
from orchestrator.settings import Settings
from orchestrator.supervisor import MAX_QUICK_DEATHS, Child, ChildKeeper, Supervisor

READY_WITHIN: Final = 30.0
"""Seconds from the start of the service to its readiness."""

_DRAIN: Final = "3"
_STOP_WITHIN: Final = 6.0
_FOLLOWED: Final = f"tenant_id={DEMO_TENANT}&tier=professional&position=earliest"
_WAY_OUT: Final = 'make run ARGS="--port {port}"'
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to show in place of it


class NotReadyError(OrchestratorError):
    """The service runs but cannot deliver; the message ends with its last lines."""


class Development:
    """Valkey, the service and the demo's worker on one data folder.

    `environment` is the user's: a REDIS_URL or DATABASE_URL in it is used instead of our own.
    """

    def __init__(self, data: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        database = f"sqlite+aiosqlite:///{data.resolve() / 'orchestrator.db'}"
        ours = {"DATABASE_URL": database, "ORCHESTRATOR_DRAIN_TIMEOUT": _DRAIN}
        self._data = data
        self._environment = ours | {name: value for name, value in environment.items() if value.strip()}
        self._say = say

    def run(self) -> None:
        """Returns after Ctrl-C or SIGTERM, with nothing left running."""
        settings = Settings.from_environment(self._environment)
        # The data first: who starts it twice learns where it runs, not just that a port is taken.
        with self._redis(settings) as valkey, listen(settings.host, settings.port, _WAY_OUT) as listener:
            if valkey is not None:
                self._environment["REDIS_URL"] = valkey.url
            try:
                asyncio.run(self._run(listener, valkey))
            finally:
                # An impatient Ctrl-C would now only keep us from seeing Valkey out.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._say(f"Stopped. The data is kept in {self._data}.")

    @contextmanager
    def _redis(self, settings: Settings) -> Generator[ValkeyServer | None]:
        with ExitStack() as stack:
            url = _url(settings)
            try:
                if "REDIS_URL" in self._environment:
                    stack.enter_context(DataLock(self._data, url))
                    valkey = None
                else:
                    valkey = stack.enter_context(EmbeddedValkey(self._data, url))
            except DataInUseError as error:
                if not error.address:
                    raise
                raise OrchestratorError(_already_running(error, settings.port)) from error
            yield valkey

    async def _run(self, listener: socket.socket, valkey: ValkeyServer | None) -> None:
        settings = Settings.from_environment(self._environment)
        supervisor = Supervisor(self._say)
        supervisor.listen_for_signals()
        try:
            await load_demo(settings)
            server = supervisor.start(self._server(listener))
            supervisor.start(self._worker())
            supervisor.watch(self._announce(settings, valkey, server))
            if valkey is not None:
                supervisor.watch(self._keep(valkey))
            await supervisor.wait()
            self._say("\nStopping; Ctrl-C again hurries.")
        finally:
            listener.close()
            await supervisor.stop()

    def _server(self, listener: socket.socket) -> Child:
        # The socket stays ours: while a killed server comes back, clients wait instead of being refused.
        return self._child(
            "The service", "serve", "--fd", str(listener.fileno()), descriptor=listener.fileno()
        )

    def _worker(self) -> Child:
        # Less than its child may take, so that it still says of each open task that it failed.
        stop = ("--stop-timeout", _DRAIN)
        return self._child("The demo worker", "worker", "orchestrator.demo:worker", *stop)

    def _child(self, name: str, *arguments: str, descriptor: int | None = None) -> Child:
        return Child(
            name=name,
            command=(sys.executable, "-m", "orchestrator", *arguments),
            environment=self._environment,
            descriptors=() if descriptor is None else (descriptor,),
            stop_within=_STOP_WITHIN,
            relayed=True,
        )

    async def _announce(self, settings: Settings, valkey: ValkeyServer | None, server: ChildKeeper) -> None:
        address = _EVERYWHERE.get(settings.host, settings.host)
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not await _is_ready(address, settings.port):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
        except TimeoutError:
            said = f"; its last lines:\n{server.last_lines}" if server.last_lines else ""
            raise NotReadyError(f"the service did not get ready within {READY_WITHIN:g} s{said}") from None
        self._say(_welcome(settings, valkey))

    async def _keep(self, valkey: ValkeyServer) -> None:
        for _ in range(MAX_QUICK_DEATHS):
            while valkey.running:  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.2)
            self._say("Valkey ended; starting it again")
            valkey.start()
        raise OrchestratorError(f"Valkey ended again and again:\n{valkey.log_tail()}")


async def _is_ready(host: str, port: int) -> bool:
    """Whether `/health/ready` answers 200 now."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {_place(host, port)}\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(settings: Settings) -> str:
    return f"http://{_place(_EVERYWHERE.get(settings.host, settings.host), settings.port)}"


def _already_running(error: DataInUseError, port: int) -> str:
    second = f'make run ARGS="--port {next_port(port)} --data data2"'
    return f"already running here (process {error.owner}): {error.address}/ . For a second one: {second}"


def _welcome(settings: Settings, valkey: ValkeyServer | None) -> str:
    url = _url(settings)
    bearer = ' -H "Authorization: Bearer $TOKEN"' if settings.has_tokens else ""
    return f"""
The Orchestrator is ready.

  Chat    {url}/
  API     {url}/docs
  Agents  agent-123 (echo), agent-slow, agent-ask, agent-fail, agent-llm (needs OPENAI_MODEL)

{_token(settings)}  Send    {_curl(url)}{bearer}

  Follow  curl -sN '{url}/api/chat/sessions/demo/events?{_FOLLOWED}'{bearer}

  Answer  {_redis_cli(settings, valkey)}
          (TASK_ID: from a Send to agent-slow)

For the other commands, in a second terminal:

  {_exports(settings, valkey)}

Ctrl-C stops everything.
"""


def _token(settings: Settings) -> str:
    """How one gets a token, where callers need one; a token itself is nothing to print."""
    if not settings.has_tokens:
        return ""
    if settings.jwt_secret is None:
        return "  Token   TOKEN=…  (from your issuer; with a tenant of yours, or tenant-456)\n\n"
    made = f"{sys.argv[0]} token create --tenant {DEMO_TENANT} --sub you --tier professional"
    return f"  Token   TOKEN=$({made})\n          (with ORCHESTRATOR_JWT_SECRET set as here)\n\n"


def _exports(settings: Settings, valkey: ValkeyServer | None) -> str:
    """What `orchestrator agents …` needs; what the user set is not repeated, for it may hold a password."""
    ours = {"REDIS_URL": settings.redis_url} if valkey else {}
    if settings.database_url.startswith("sqlite"):
        ours["DATABASE_URL"] = settings.database_url
    pairs = " ".join(f"{name}='{value}'" for name, value in ours.items())
    return f"export {pairs}" if pairs else "(REDIS_URL and DATABASE_URL as here)"


def _curl(url: str) -> str:
    headers = {
        "X-Tenant-ID": DEMO_TENANT,
        "X-Agent-ID": DEMO_AGENTS[0],
        "X-Tenant-Tier": "professional",
        "X-Session-ID": "demo",
        "Content-Type": "application/json",
    }
    body = msgspec.json.encode({"message": "Hello there"}).decode()
    options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    return shlex.join(["curl", "-sS", f"{url}/api/chat/send", *options, "-d", body])


def _redis_cli(settings: Settings, valkey: ValkeyServer | None) -> str:
    """The line with which anyone can play the agent; the task's id is left to fill in."""
    server = ["-s", str(valkey.socket_path)] if valkey else ["-u", "REDIS_URL"]
    callback = {"task_id": "TASK_ID", "status": "completed", "result": {"response": "Hello from redis-cli"}}
    queue = f"{settings.callback_queue_prefix}:{DEMO_TENANT}:callbacks"
    return shlex.join(["redis-cli", *server, "LPUSH", queue, msgspec.json.encode(callback).decode()])
