"""Peers that take what they can get and give nothing: what each sends. None of them ever reads."""

import asyncio
import itertools
import os
import socket
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from tests.contract.client import Agent, Caller
from tests.contract.exchange import asked
from tests.websocket_peers import CONTINUATION, PING, TEXT, frame, handshake

from orchestrator.api.http_protocol import MAX_HEADERS
from orchestrator.api.websocket_protocol import FRAGMENTS_AT_ONCE, SIGNS_AT_ONCE

INTERVAL, TIMEOUT = 1.0, 1.0
QUICK: Final = {
    "jwt_secret": "",
    "jwt_leeway": "",
    "websocket_ping_interval": str(INTERVAL),
    "websocket_ping_timeout": str(TIMEOUT),
}
"""Settings of a server that finds the dead soon, and takes identity from headers or query."""


class Hostile(NamedTuple):
    """One kind: what it sends when it has connected, and what a while later."""

    name: str
    first: bytes
    then: bytes = b""


def kinds(session: str, tenant: str, tier: str) -> list[Hostile]:
    """One of each; those that follow a session follow this one."""
    who = f"tenant_id={tenant}&tier={tier}"
    socket_request = handshake(f"/ws/{session}?{who}")
    get = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    many_headers = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 300) for n in range(MAX_HEADERS - 2))
    post = b"POST /api/chat/send HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 262144\r\n"
    named = f"X-Tenant-ID: {tenant}\r\nX-Tenant-Tier: {tier}\r\nX-Session-ID: {session}\r\nX-Agent-ID: a\r\n"
    pieces = frame(CONTINUATION, b"x" * 30, fin=False) * (FRAGMENTS_AT_ONCE - 50)
    return [
        Hostile("silent", b""),
        Hostile("half a head", get % b"/" + b"X-Half: "),
        Hostile("most of a large head", get % b"/" + many_headers),
        Hostile("slow body", post + named.encode() + b"\r\n" + b'{"message": "' + b"x" * 200_000),
        Hostile("pipelined requests", (get % b"/health/live" + b"\r\n") * 50),
        Hostile("deaf stream", get % f"/api/chat/sessions/{session}/events?{who}".encode() + b"\r\n"),
        Hostile("deaf socket", socket_request),
        Hostile("unfinished message", socket_request, frame(TEXT, b"x" * 300, fin=False) + pieces),
        Hostile("unfinished frame", socket_request, frame(TEXT, b"x" * 65_000)[:-1]),
        Hostile("pings", socket_request, frame(PING, b"x" * 125) * (SIGNS_AT_ONCE - 5)),
        Hostile("ping flood", socket_request, frame(PING, b"x" * 125) * 10_000),
        Hostile("garbage frames", socket_request, b"\xff\x00garbage" * 1_000),
        Hostile("nested frames", socket_request, frame(TEXT, b"[" * 60_000) * 4),
    ]


@contextmanager
def crowd(port: int, peers: Sequence[Hostile]) -> Generator[list[socket.socket]]:
    """All of them connected, what they have to say said; their ends stay open until the block ends."""
    with ExitStack() as stack:
        ends = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in peers]
        for end, peer in zip(ends, peers, strict=True):
            end.setblocking(False)
            _say(end, peer.first)
        later = time.monotonic() + 10
        for end, peer in zip(ends, peers, strict=True):
            if peer.then and _is_answered(end, later):
                _say(end, peer.then)
        yield ends


def mixed(found: Sequence[Hostile], count: int) -> list[Hostile]:
    """So many, of all kinds in turn."""
    return list(itertools.islice(itertools.cycle(found), count))


def _say(end: socket.socket, data: bytes) -> None:
    # As much as fits at once: nobody waits for a server that does not read either.
    with suppress(BlockingIOError, ConnectionError):
        while data:
            data = data[end.send(data) :]


def _is_answered(end: socket.socket, until: float) -> bool:
    """Whether the handshake's answer has come; it is left unread."""
    while time.monotonic() < until:
        try:
            return bool(end.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            time.sleep(0.01)
        except ConnectionError:
            return False
    return False


@asynccontextmanager
async def streaming(caller: Caller, agent: Agent) -> AsyncGenerator[list[int]]:
    """While an agent reports far more than any buffer holds: its reports of 256 KiB so far, by their numbers."""
    _, task = await asked(caller, agent)

    over = asyncio.Event()
    reported: list[int] = []

    async def report() -> None:
        while not over.is_set():
            await agent.report(task, "progress", result={"pad": "x" * 256 * 1024})
            reported.append(len(reported))
            await asyncio.sleep(0.05)

    reporting = asyncio.create_task(report())
    try:
        yield reported
    finally:
        # Not cancelled: redis-py waits by `asyncio.wait_for`, which on Python 3.11 may swallow that.
        over.set()
        await asyncio.gather(reporting, return_exceptions=True)
        await agent.complete(task)


class Watched:
    """What the kernel has of a process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    @property
    def memory(self) -> int:
        """Bytes of memory."""
        return int(self._process.memory_info().rss)

    @property
    def descriptors(self) -> int:
        """Open files and sockets."""
        return self._process.num_fds()


def kernel_memory() -> int:
    """Bytes that all TCP connections of the machine have in the kernel."""
    row = next(
        line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:")
    )
    return int(row.split()[-1]) * os.sysconf("SC_PAGE_SIZE")
