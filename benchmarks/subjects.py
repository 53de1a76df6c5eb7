"""Whom the comparison measures: the service, and its peers, each alone with a Valkey of its own."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from tests.servers import free_port

from benchmarks.deployment import cpu_seconds, deployment, pin
from benchmarks.load.people import Entrance
from benchmarks.measures import TENANT
from benchmarks.peers import socketio_wire
from benchmarks.peers.peer import Peer, Wire
from benchmarks.peers.running import LOAD_CORE, SERVICE_CORE, Running, running
from benchmarks.peers.script import Script
from orchestrator.embedded import DEMO_TENANT, EmbeddedValkey

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
    valkey_pid: int
    valkey_socket: str
    agent_pid: int | None = None
    """Of an agent that is part of it; else agents use Redis lists."""
    headers: Mapping[str, str] = TENANT
    keyed: bool = False

    def cpu_seconds(self) -> dict[str, float]:
        """What the service, Valkey and the load (this process, and an agent of the peer's) have used so far."""
        used = {"service": sum(map(cpu_seconds, self.pids)), "valkey": cpu_seconds(self.valkey_pid)}
        load = cpu_seconds(os.getpid()) + (cpu_seconds(self.agent_pid) if self.agent_pid else 0)
        return {**used, "load": load}

    def entrance(self, chunks: int) -> Entrance:
        """The way in for people whose answers come in so many pieces, where the message has to say that."""
        scripted = self.agent_pid is not None
        message = Script(chunks=chunks, delta=DELTA).message if scripted else "hello"
        if self.wire == "socketio":
            connect = b"\x81\x82\x00\x00\x00\x0040"  # the text "40", masked with zeros
            return Entrance(self.port, self.headers, _socketio_path, connect, message=message)
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
) -> Generator[Subject]:
    """The service, with whatever its users have."""
    with deployment({**_SOCKETS, **(settings or {})}) as found:
        for pid in found.service_pids:
            pin(pid, SERVICE_CORE)
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
def peer(which: Peer) -> Generator[Subject]:
    """A peer, with a Valkey of its own; `LeftOutError` where this machine cannot have it."""
    with TemporaryDirectory() as name, EmbeddedValkey(Path(name)) as valkey:
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
