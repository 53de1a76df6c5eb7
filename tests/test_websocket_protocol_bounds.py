"""What a WebSocket's peer cannot make us keep or do: floods of small frames, unread bytes, a queue without end."""

import asyncio
import gc
import json
import socket
import threading
from typing import Any

import pytest
from tests.servers import wait_blocking, wait_until
from tests.websocket_peers import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    QUICK,
    TEXT,
    RawPeer,
    Seen,
    frame,
    reader,
    send_for_ever,
    serving,
)
from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.client import connect

from orchestrator.api.websocket_protocol import (
    FRAGMENTS_AT_ONCE,
    QUEUED_CHARACTERS,
    SIGNS_AT_ONCE,
    WebSocketProtocol,
)

FLOODS = {
    "pings": frame(PING, b"x" * 125),
    "pongs": frame(PONG),
    "fragments": frame(CONTINUATION, b"x", fin=False),
    "empty fragments": frame(CONTINUATION, fin=False),
}


@pytest.mark.parametrize("flood", list(FLOODS))
def test_a_flood_of_small_frames_is_4429(flood: str) -> None:
    """What no budget of messages counts has one of its own; who goes beyond it is told when to come back."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, _), RawPeer(port) as peer:
        peer.shake_hands()
        peer.socket.sendall(frame(TEXT, b"begun", fin=False))
        peer.socket.sendall(FLOODS[flood] * 2 * FRAGMENTS_AT_ONCE)

        code, reason = peer.read_close()
        assert code == 4429
        assert json.loads(reason).keys() == {"retry_after_ms"}
        assert peer.socket.recv(1) == b"", "an orderly end, no reset"
    assert seen.disconnect_codes == [4429]


@pytest.mark.parametrize("flood", list(FLOODS))
def test_a_flooder_that_reads_nothing_is_gone(monkeypatch: pytest.MonkeyPatch, flood: str) -> None:
    """However much it sends, and although it never sees that it is closed."""
    monkeypatch.setattr(WebSocketProtocol, "close_seconds", 0.3)
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, server), RawPeer(port) as peer:
        peer.shake_hands()
        peer.socket.sendall(frame(TEXT, b"begun", fin=False))
        peer.send_for_ever(FLOODS[flood] * 500)
        wait_blocking(lambda: seen.disconnect_codes == [4429], why="the application is told")
        wait_blocking(lambda: not server.server_state.connections, why="nothing is kept")


def test_small_frames_within_reason_pass() -> None:
    """A message in hundreds of pieces, empty ones among them, and some pings, is a message."""
    seen = Seen()
    pieces = frame(CONTINUATION, b"b", fin=False) + frame(CONTINUATION, fin=False)
    with serving(lambda receive, _: reader(seen, receive)) as (port, server), RawPeer(port) as peer:
        peer.shake_hands()
        peer.socket.sendall(frame(TEXT, b"a", fin=False) + pieces * 200 + frame(PING) * (SIGNS_AT_ONCE // 2))
        for _ in range(SIGNS_AT_ONCE // 2):
            assert peer.read_frame()[0] == PONG
        (protocol,) = server.server_state.connections
        assert isinstance(protocol, WebSocketProtocol)
        assert len(protocol.frames) == 1, "pieces are not kept as such"

        peer.socket.sendall(frame(CONTINUATION, b"c"))
        wait_blocking(lambda: seen.received, why="the message arrives")
        peer.socket.sendall(frame(TEXT, b"next"))
        wait_blocking(lambda: len(seen.received) == 2, why="and the next one")
    assert [message["text"] for message in seen.received[:2]] == ["a" + "b" * 200 + "c", "next"]


async def test_what_waits_for_the_application_is_bounded_in_size() -> None:
    """Few large messages fill the queue as many small ones do; all arrive once the application goes on."""
    seen = Seen()
    proceed = threading.Event()
    waiting: list[int] = []

    async def session(receive: Any, _: Any) -> None:
        await asyncio.to_thread(proceed.wait, 10)
        waiting.append(receive.__self__.queue.qsize())
        await reader(seen, receive)

    large = "é" * 30_000
    with serving(session) as (port, server):
        async with connect(f"ws://127.0.0.1:{port}/ws/s") as client:
            (protocol,) = server.server_state.connections
            assert isinstance(protocol, WebSocketProtocol)
            flood = asyncio.gather(*(client.send(large) for _ in range(60)))
            await wait_until(lambda: protocol.read_paused)
            proceed.set()
            await flood
            await wait_until(lambda: len(seen.received) == 60)
    assert waiting[0] <= QUEUED_CHARACTERS / len(large) + 1
    assert all(message["text"] == large for message in seen.received[:60])


async def test_who_is_not_read_is_not_dead() -> None:
    """While the queue is full no pong can be seen: a peer that answers pings outlives a busy application."""
    seen = Seen()
    proceed = threading.Event()

    async def session(receive: Any, _: Any) -> None:
        await asyncio.to_thread(proceed.wait, 10)
        await reader(seen, receive)

    with serving(session, **QUICK) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/ws/s", ping_interval=None) as client:
            for _ in range(3):
                await client.send("x" * 60_000)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 1.0)
            proceed.set()
            await client.send("alive")
            await wait_until(lambda: len(seen.received) == 4)
    assert seen.received[3]["text"] == "alive"


@pytest.mark.parametrize("goodbye", [frame(CLOSE, b"\x03\xe8"), frame(CLOSE), b"\xff\xff"], ids=repr)
def test_who_says_goodbye_and_reads_nothing_is_gone(monkeypatch: pytest.MonkeyPatch, goodbye: bytes) -> None:
    """A close frame, or a broken one, ends the connection also where what was written before is never read."""
    monkeypatch.setattr(WebSocketProtocol, "close_seconds", 0.3)
    seen = Seen()

    async def session(receive: Any, send: Any) -> None:
        listening = asyncio.create_task(reader(seen, receive))
        with pytest.raises(ClientDisconnected):
            await send_for_ever(send)
        await listening
        seen.finished.set()

    with serving(session) as (port, server), RawPeer(port) as peer:
        peer.shake_hands()
        (protocol,) = server.server_state.connections
        assert isinstance(protocol, WebSocketProtocol)
        wait_blocking(lambda: not protocol.writable.is_open, why="nothing more can be written")
        peer.socket.sendall(goodbye)

        assert seen.finished.wait(5), "the application is told"
        wait_blocking(lambda: not server.server_state.connections, why="nothing is kept")


def test_an_application_that_ends_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where what it wrote is never read: closing alone would wait for that for ever."""
    monkeypatch.setattr(WebSocketProtocol, "close_seconds", 0.3)

    async def session(_: Any, send: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_for_ever(send), 0.3)

    with serving(session) as (port, server), RawPeer(port) as peer:
        peer.shake_hands()
        wait_blocking(lambda: not server.server_state.connections, why="nothing is kept")


def test_nothing_is_kept_of_who_has_left() -> None:
    """However it left, its protocol goes with the connection and not when a clock rings."""

    def kept() -> int:
        gc.collect()
        return sum(isinstance(found, WebSocketProtocol) for found in gc.get_objects())

    with serving(lambda receive, _: reader(Seen(), receive)) as (port, server):
        for sent in (b"", frame(CLOSE), frame(TEXT, b"a", fin=False), frame(TEXT, b"\xff"), b"\xff\xff"):
            for reset in (False, True):
                peer = RawPeer(port).shake_hands()
                peer.socket.sendall(sent)
                if reset:
                    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.socket.close()
        wait_blocking(lambda: not server.server_state.connections and not kept(), why="nothing is kept")
