"""What our subclass of uvicorn's protocol keeps: dead peers go, close frames arrive, logs have no secrets."""

import asyncio
import threading
from typing import Any

import pytest
from tests.servers import wait_blocking, wait_until
from tests.websocket_peers import (
    CONTINUATION,
    PING,
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

from orchestrator.api.websocket_protocol import QUEUED_MESSAGES


def test_a_silent_peer_that_does_not_read_is_gone() -> None:
    """With megabytes unread, socket and memory go within interval + timeout: 1006, and `send` ends."""
    seen = Seen()

    async def session(receive: Any, send: Any) -> None:
        listening = asyncio.create_task(reader(seen, receive))
        with pytest.raises(ClientDisconnected):
            await send_for_ever(send)
        await listening
        seen.finished.set()

    with serving(session, **QUICK) as (port, server), RawPeer(port) as peer:
        peer.shake_hands()

        assert seen.finished.wait(5)
        assert seen.disconnect_codes == [1006]
        wait_blocking(lambda: not server.server_state.connections, why="nothing is kept")


async def test_a_peer_that_answers_pings_stays() -> None:
    """An idle client that answers pings is left alone."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive), **QUICK) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/ws/s", ping_interval=None) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 1.0)
            await client.send("still here")
            await wait_until(lambda: seen.received)
    assert seen.received[0] == {"type": "websocket.receive", "text": "still here"}


def test_any_frame_is_a_sign_of_life() -> None:
    """A client that sends, but answers no ping, stays for as long as it sends."""
    seen = Seen()
    with (
        serving(lambda receive, _: reader(seen, receive), **QUICK) as (port, server),
        RawPeer(port) as peer,
    ):
        peer.shake_hands()
        pings = 0
        while pings < 5:  # a second's worth, and each of them unanswered
            opcode, _ = peer.read_frame()
            pings += opcode == PING
            peer.socket.sendall(frame(TEXT, b"alive"))
        assert server.server_state.connections

        wait_blocking(peer.ended, why="silent now, so gone")
    assert seen.disconnect_codes == [1006]


async def test_pongs_are_read_while_the_application_is_busy() -> None:
    """An application that takes nothing for longer than interval + timeout costs nobody the socket."""
    seen = Seen()
    proceed = threading.Event()

    async def session(receive: Any, _: Any) -> None:
        await asyncio.to_thread(proceed.wait, 10)
        await reader(seen, receive)

    with serving(session, **QUICK) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/ws/s", ping_interval=None) as client:
            for number in range(QUEUED_MESSAGES - 1):
                await client.send(str(number))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 1.0)
            proceed.set()
            await wait_until(lambda: len(seen.received) == QUEUED_MESSAGES - 1)
    assert [m["text"] for m in seen.received[:-1]] == [str(n) for n in range(QUEUED_MESSAGES - 1)]


async def test_what_waits_for_the_application_is_bounded() -> None:
    """A flood is not read beyond the queue; once the application goes on, all of it arrives in order."""
    seen = Seen()
    proceed = threading.Event()
    waiting: list[int] = []

    async def session(receive: Any, _: Any) -> None:
        await asyncio.to_thread(proceed.wait, 10)
        waiting.append(receive.__self__.queue.qsize())
        await reader(seen, receive)

    flood = [f"{number:06d}" for number in range(20_000)]
    with serving(session) as (port, _), RawPeer(port) as peer:
        peer.shake_hands()
        peer.socket.sendall(b"".join(frame(TEXT, text.encode()) for text in flood))
        proceed.set()
        await wait_until(lambda: len(seen.received) >= len(flood), within=20)
    assert [m["text"] for m in seen.received[: len(flood)]] == flood
    assert waiting[0] < 10 * QUEUED_MESSAGES


async def test_a_slow_reader_can_be_closed() -> None:
    """`close` does not wait behind what is not read; a peer that reads at last sees code and reason."""
    seen = Seen()

    async def session(_: Any, send: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_for_ever(send), 0.3)
        await send({"type": "websocket.close", "code": 4408, "reason": "too slow"})
        seen.finished.set()

    with serving(session) as (port, _), RawPeer(port) as peer:
        peer.shake_hands()
        assert await asyncio.to_thread(seen.finished.wait, 5)
        assert await asyncio.to_thread(peer.read_close) == (4408, "too slow")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(frame(TEXT, b"\xff\xfe"), 1007, id="not UTF-8"),
        pytest.param(frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"x"), 1007, id="cut in two"),
        pytest.param(frame(TEXT, b"x" * 70 * 1024), 1009, id="70 KiB"),
        pytest.param(
            frame(TEXT, b"x" * 40_000, fin=False) + frame(CONTINUATION, b"x" * 40_000), 1009, id="sum"
        ),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continuation of nothing"),
        pytest.param(b"\x81\x02hi", 1002, id="not masked"),
    ],
)
def test_bad_frames_get_their_close_code(sent: bytes, code: int) -> None:
    """The code arrives although the peer goes on sending, and the application hears the same one."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, _), RawPeer(port) as peer:
        peer.shake_hands()
        # Far more than one read takes: closing over it would reset the connection, close frame and all.
        peer.socket.sendall(frame(TEXT, b"good") + sent + frame(TEXT, b"too late") * 200_000)

        assert peer.read_close()[0] == code
        assert peer.socket.recv(1) == b"", "an orderly end, no reset"
    assert [m.get("text", m.get("code")) for m in seen.received] == ["good", code]


async def test_the_largest_frame_passes() -> None:
    """64 KiB are allowed, as text and as bytes; bytes arrive as bytes."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/ws/s") as client:
            await client.send("x" * 65_536)
            await client.send(b"\x00" * 65_536)
        await wait_until(lambda: len(seen.received) == 3)
    assert seen.received[0]["text"] == "x" * 65_536
    assert seen.received[1]["bytes"] == b"\x00" * 65_536
    assert isinstance(seen.received[1]["bytes"], bytes)
    assert seen.disconnect_codes == [1000]
