"""Peers that hold on without giving anything back, against the whole service: each is gone when its time is over.

Gone means that the kernel has the connection no more, and that nobody is counted: so its memory is free as well.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.conftest import Connect, StartService
from tests.security.hostile_peers import INTERVAL, QUICK, TIMEOUT, streaming
from tests.servers import OrchestratorServer, wait_until
from tests.websocket_peers import CLOSE, PONG, TEXT, RawPeer, frame, handshake

from orchestrator.delivery.connection import UNREAD_SECONDS_MAX
from orchestrator.listener import KERNEL_BUFFER

SOON = 3 * (INTERVAL + TIMEOUT)
"""Seconds; a machine that is busy with other tests is slow to look at its clocks."""

Act = Callable[[RawPeer], object]


@pytest.fixture(scope="module")
def quick_service(service_with: StartService) -> OrchestratorServer:
    """A server that finds the dead soon; identity comes from the query."""
    return service_with(**QUICK)


@pytest.fixture
def caller(quick_service: OrchestratorServer, connect: Connect, tenant: Tenant) -> Caller:
    """A frontend of the test's tenant."""
    return Caller(connect(quick_service), tenant)


def is_held(server: OrchestratorServer, peer: socket.socket) -> bool:
    """Whether the server's process still has its end of the connection."""
    port = peer.getsockname()[1]
    return any(
        connection.raddr and connection.raddr.port == port
        for connection in psutil.Process(server.process.pid).net_connections("tcp")
    )


def is_stuffed(peer: RawPeer) -> bool:
    """Whether the kernel has more for it than it takes."""
    port = f":{peer.socket.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(
        row[2].endswith(port) and int(row[4].partition(":")[0], 16) > KERNEL_BUFFER / 2 for row in rows
    )


async def connected(caller: Caller) -> int:
    """Sockets and streams of the tenant, as the deployment counts them."""
    answer = await caller.http.get("/ws/stats", params={"tenant_id": caller.tenant.id})
    return int(answer.json()["total"])


async def gone(server: OrchestratorServer, caller: Caller, peer: RawPeer, within: float = SOON) -> None:
    """Waits until nothing is left of the peer."""
    await wait_until(lambda: not is_held(server, peer.socket), within)

    async def is_forgotten() -> bool:
        return await connected(caller) == 0

    await wait_until(is_forgotten, SOON)


def follower(server: OrchestratorServer, caller: Caller) -> RawPeer:
    """A peer that follows the caller's session; its end takes almost nothing that it does not read."""
    tenant = caller.tenant
    target = f"/ws/{caller.session_id}?tenant_id={tenant.id}&tier={tenant.tier}"
    return RawPeer(server.port, handshake(target), receive_buffer=4_096).shake_hands()


def say_nothing(_: RawPeer) -> None:
    """Not even read."""


def say_half(peer: RawPeer) -> None:
    """Begin a frame and stop in its middle."""
    peer.socket.sendall(frame(TEXT, b'{"type":"ping"}')[:9])


def say_goodbye(peer: RawPeer) -> None:
    """Close the WebSocket, but never the connection."""
    peer.socket.sendall(frame(CLOSE, b"\x03\xe8"))


@pytest.mark.parametrize("act", [say_nothing, say_half, say_goodbye])
async def test_a_silent_peer_is_gone(quick_service: OrchestratorServer, caller: Caller, act: Act) -> None:
    """Within ping interval and timeout, with nothing under way for it."""
    with follower(quick_service, caller) as peer:
        act(peer)
        await gone(quick_service, caller, peer)


@pytest.mark.parametrize("act", [say_nothing, say_half, say_goodbye])
async def test_a_silent_peer_that_is_written_to_is_gone(
    quick_service: OrchestratorServer, caller: Caller, agent: Agent, act: Act
) -> None:
    """Although it reads nothing of what is sent, so that the connection could not be closed in order."""
    with follower(quick_service, caller) as peer:
        async with streaming(caller, agent):
            await wait_until(lambda: is_stuffed(peer))
            act(peer)
            await gone(quick_service, caller, peer)


async def test_peers_that_live_but_do_not_read_are_gone(
    quick_service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """One that shows signs of life, and a stream of events that cannot: both are too slow, by the same clock."""
    names = {"X-Tenant-ID": caller.tenant.id, "X-Tenant-Tier": caller.tenant.tier}
    head = "".join(f"{name}: {value}\r\n" for name, value in names.items())
    request = f"GET /api/chat/sessions/{caller.session_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n"
    with ExitStack() as stack:
        alive = stack.enter_context(follower(quick_service, caller))
        stream = stack.enter_context(RawPeer(quick_service.port, request.encode(), receive_buffer=4_096))

        async def live() -> None:
            with suppress(OSError):
                while True:
                    alive.socket.sendall(frame(PONG))
                    await asyncio.sleep(INTERVAL / 2)

        living = asyncio.create_task(live())
        async with streaming(caller, agent):
            await wait_until(lambda: not is_held(quick_service, alive.socket), UNREAD_SECONDS_MAX + SOON)
            await gone(quick_service, caller, stream, UNREAD_SECONDS_MAX + SOON)
        await living
    closed = (await caller.http.get("/metrics")).text
    assert 'orchestrator_websocket_closed_total{code="4408"' in closed
