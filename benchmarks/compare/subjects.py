"""Whom the comparison measures: the service, and its peers, each alone with a Valkey of its own."""

import os
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey
from tests.servers import free_port

from benchmarks.deployment import cpu_seconds, deployment, pin
from benchmarks.load.people import Entrance
from benchmarks.load.sockets import text_frame
from benchmarks.measures import TENANT
from benchmarks.peers import socketio_wire
from benchmarks.peers.peer import Peer, Wire
from benchmarks.peers.running import LOAD_CORE, SERVICE_CORE, Running, running
from benchmarks.peers.script import Script
from benchmarks.valkey import running_valkey
from orchestrator.embedded import DEMO_TENANT

TIER: Final = TENANT["X-Tenant-Tier"]
DELTA: Final = "word "
_SOCKETS: Final = {"ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS": "20000"}


class Subject(NamedTuple):
    """A running service, and how it is talked to."""

    name: str
    says: str
    versions: str
    wire: Wire
    port: int
    pids: tuple[int, ...]
    """Of the service's processes."""
    valkey_pid: int | None
    valkey_socket: str
    agent_pid: int | None = None
    """Of an agent that is part of it; else agents use Redis lists."""
    headers: Mapping[str, str] = TENANT
    keyed: bool = False

    def cpu_seconds(self) -> dict[str, float]:
        """What the service, Valkey and the load (this process, and an agent of the peer's) have used so far."""
        valkey = cpu_seconds(self.valkey_pid) if self.valkey_pid else 0.0
        used = {"service": sum(map(cpu_seconds, self.pids)), "valkey": valkey}
        load = cpu_seconds(os.getpid()) + (cpu_seconds(self.agent_pid) if self.agent_pid else 0)
        return {**used, "load": load}

    def entrance(self, chunks: int) -> Entrance:
        """The way in for people whose answers come in so many pieces, where the message has to say that."""
        scripted = self.agent_pid is not None
        message = Script(chunks=chunks, delta=DELTA).message if scripted else "hello"
        if self.wire == "socketio":
            return Entrance(self.port, self.headers, _socketio_path, text_frame("40"), message=message)
        secret = {name: value for name, value in self.headers.items() if name == "Authorization"}
        return Entrance(
            self.port, self.headers, _path, socket_headers=secret, keyed=self.keyed, message=message
        )


def _path(session: str) -> str:
    return f"/ws/{session}?tenant_id={DEMO_TENANT}&tier={TIER}"


def _socketio_path(session: str) -> str:
    return socketio_wire.path(DEMO_TENANT, TIER, session)


@contextmanager
def orchestrator(
    name: str = "orchestrator",
    says: str = "this service: access check, limits, idempotency key, ledger and log",
    settings: Mapping[str, str] | None = None,
    headers: Mapping[str, str] = TENANT,
    workers: int = 1,
) -> Generator[Subject]:
    """The service, with whatever its users have; one process has a core, several have all of them."""
    arguments = () if workers == 1 else ("--workers", str(workers))
    with deployment({**_SOCKETS, **(settings or {})}, arguments=arguments) as found:
        for place, pid in enumerate(found.service_pids):
            pin(pid, SERVICE_CORE if workers == 1 else place % (os.cpu_count() or 1))
        pin(found.valkey_pid, LOAD_CORE)
        yield Subject(
            name=name,
            says=says,
            versions="this checkout",
            wire="plain",
            port=found.service.port,
            pids=found.service_pids,
            valkey_pid=found.valkey_pid,
            valkey_socket=_socket_of(found.redis_url),
            headers=headers,
            keyed=True,
        )


@contextmanager
def with_token() -> Generator[Subject]:
    """The service with authentication on: every request and every socket bears a token of its own caller."""
    secret = secrets.token_hex(32)
    claims = {"sub": "bench", "tenant_id": DEMO_TENANT, "tier": TIER, "exp": int(time.time()) + 3600}
    token = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret), ["HS256"])
    headers = {"Authorization": f"Bearer {token}", "X-Agent-ID": TENANT["X-Agent-ID"]}
    with orchestrator("token", "the same with JWT", {"ORCHESTRATOR_JWT_SECRET": secret}, headers) as subject:
        yield subject


@contextmanager
def peer(which: Peer) -> Generator[Subject]:
    """A peer, with a Valkey of its own; `LeftOutError` where this machine cannot have it."""
    with TemporaryDirectory() as name, running_valkey(Path(name)) as valkey:
        pin(valkey.pid, LOAD_CORE)
        with running(which, valkey.url, free_port(), Path(name) / "peer.log") as found:
            yield _subject_of(found, valkey.pid, _socket_of(valkey.url))


def _subject_of(found: Running, valkey_pid: int, valkey_socket: str) -> Subject:
    return Subject(
        name=found.peer.name,
        says=found.peer.says,
        versions=found.peer.versions(),
        wire=found.peer.wire,
        port=found.port,
        pids=(found.pid,),
        valkey_pid=valkey_pid,
        valkey_socket=valkey_socket,
        agent_pid=found.agent_pid,
    )


def _socket_of(redis_url: str) -> str:
    return unquote(urlsplit(redis_url).path)
