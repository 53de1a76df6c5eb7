"""What our subclass of uvicorn's protocol keeps: dead peers go, close frames arrive, logs have no secrets."""

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Self

import pytest
import uvicorn
from tests.in_process import serving_app
from tests.servers import wait_blocking, wait_until
from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from orchestrator.api.websocket_protocol import QUEUED_MESSAGES, WebSocketProtocol

Session = Callable[[Any, Any], Awaitable[None]]
"""What the application does with one accepted socket: `session(receive, send)`."""

HANDSHAKE = (
    b"GET /ws/s?ticket=hush-hush HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%b\r\n"
)
CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA


class Seen:
    """What the application got, in order; `received` are its ASGI messages after the handshake."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.finished = threading.Event()

    @property
    def disconnect_codes(self) -> list[int]:
        return [message["code"] for message in self.received if message["type"] == "websocket.disconnect"]


async def reader(seen: Seen, receive: Any) -> None:
    """Takes everything until the disconnect."""
    while True:
        seen.received.append(await receive())
        if seen.received[-1]["type"] == "websocket.disconnect":
            return


@contextmanager
def serving(session: Session, **settings: str) -> Generator[tuple[int, uvicorn.Server]]:
    """A server whose sockets all do `session`; yields its port and itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        await session(receive, send)

    with serving_app(app, **settings) as served:
        yield served


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame; its mask of zeros leaves the payload readable."""
    length = len(data)
    if length < 126:
        size = bytes([0x80 | length])
    else:
        size = (
            b"\xfe" + struct.pack("!H", length) if length <= 0xFFFF else b"\xff" + struct.pack("!Q", length)
        )
    return bytes([opcode | (0x80 if fin else 0)]) + size + b"\0\0\0\0" + data


class RawPeer:
    """A client that does only what it is told: it answers no ping and need not read."""

    def __init__(self, port: int, more_headers: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(HANDSHAKE % more_headers)
        self.unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def shake_hands(self) -> Self:
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return self

    def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the server's next frame."""
        head = self._exactly(2)
        length = head[1]
        if length == 126:
            length = struct.unpack("!H", self._exactly(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._exactly(8))[0]
        return head[0] & 0xF, self._exactly(length)

    def read_close(self) -> tuple[int, str]:
        """Code and reason of the close frame, after which the server must end the connection."""
        opcode, data = self.read_frame()
        while opcode != CLOSE:
            opcode, data = self.read_frame()
        return struct.unpack("!H", data[:2])[0], data[2:].decode()

    def ping_for_ever(self) -> None:
        """Ends with the exception of a torn connection."""
        while True:
            self.socket.sendall(frame(PING, b"x" * 125) * 500)

    def ended(self) -> bool:
        """Whether the server has ended the connection, when everything before that is read."""
        try:
            return self.socket.recv(65_536) == b""
        except ConnectionResetError:
            return True

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the connection ended in the middle of a frame"
            data += piece
        return data


async def receive_for_ever(client: Any, action: Callable[[Any], Awaitable[None]]) -> None:
    """Ends with the exception of a closed connection."""
    await action(client)
    while True:
        await client.recv()


async def send_for_ever(send: Any) -> None:
    """More than any buffer holds."""
    while True:
        await send({"type": "websocket.send", "text": "x" * 65_536})


async def closed_with(port: int, action: Callable[[Any], Awaitable[None]]) -> tuple[int, str]:
    """Code and reason with which an ordinary client is closed after `action`."""
    async with connect(f"ws://127.0.0.1:{port}/ws/s") as client:
        with pytest.raises(ConnectionClosed) as caught:
            await receive_for_ever(client, action)
        assert caught.value.rcvd is not None, "no close frame arrived"
        return caught.value.rcvd.code, caught.value.rcvd.reason


QUICK = {"websocket_ping_interval": "0.2", "websocket_ping_timeout": "0.2"}


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


def test_a_peer_that_floods_pings_and_reads_nothing_is_gone() -> None:
    """Pongs nobody reads do not pile up for ever: over the cap the connection is aborted."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, _), RawPeer(port) as peer:
        peer.shake_hands()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            peer.ping_for_ever()
        wait_blocking(lambda: seen.disconnect_codes == [1006], why="the application is told")


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


def test_empty_fragments_are_not_kept() -> None:
    """A message of endless empty fragments costs no memory; what it says still arrives."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, server), RawPeer(port) as peer:
        peer.shake_hands()
        peer.socket.sendall(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, fin=False) * 10_000)
        peer.socket.sendall(frame(PING))
        assert peer.read_frame()[0] == PONG  # so everything before it is parsed
        (protocol,) = server.server_state.connections
        assert isinstance(protocol, WebSocketProtocol)
        assert len(protocol.frames) == 1

        peer.socket.sendall(frame(CONTINUATION, b"b"))
        wait_blocking(lambda: seen.received, why="the message arrives")
    assert seen.received[0]["text"] == "ab"


def test_a_torn_connection_is_1006() -> None:
    """A connection that ends without a close frame is 1006, not a clean end."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, _):
        RawPeer(port).shake_hands().socket.close()
        wait_blocking(lambda: seen.disconnect_codes == [1006], why="the application is told")


async def test_a_close_reason_arrives() -> None:
    """Close frame and reason are flushed, also right after a large frame and while the client sends."""

    async def session(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.send", "text": "x" * 1_000_000})
        await send({"type": "websocket.close", "code": 1013, "reason": '{"retry_after_ms":700}'})

    async def action(client: Any) -> None:
        for _ in range(50):
            await client.send("hello")

    with serving(session) as (port, _):
        assert await closed_with(port, action) == (1013, '{"retry_after_ms":700}')


async def test_sending_after_the_close_is_a_disconnect() -> None:
    """A second sender that comes too late gets the error of a lost client, not one of misuse."""
    seen = Seen()

    async def session(_: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 1000})
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})
        seen.finished.set()

    with serving(session) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/ws/s"):
            assert await asyncio.to_thread(seen.finished.wait, 5)


async def test_a_failing_application_is_1011(caplog: pytest.LogCaptureFixture) -> None:
    """An application that raises is a close with 1011, not a torn connection."""

    async def session(_: Any, __: Any) -> None:
        raise RuntimeError("broken")

    async def nothing(_: Any) -> None: ...

    with serving(session) as (port, _):
        assert (await closed_with(port, nothing))[0] == 1011
    assert "broken" in caplog.text


async def test_shutdown_says_when_to_come_back() -> None:
    """Sockets that the drain left over are closed with 1012 and a `retry_after_ms`."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, server):

        async def action(_: Any) -> None:
            server.should_exit = True

        code, reason = await closed_with(port, action)
    assert code == 1012
    assert reason.startswith('{"retry_after_ms":')
    assert seen.disconnect_codes[0] == 1012


def test_too_many_headers_are_refused() -> None:
    """A handshake with more headers than the parser takes is answered, not left waiting."""
    headers = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    with serving(lambda receive, _: reader(Seen(), receive)) as (port, _), RawPeer(port, headers) as peer:
        assert peer.socket.recv(12) == b"HTTP/1.1 431"
        wait_blocking(peer.ended, why="the connection ends")


async def test_no_query_string_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Even at DEBUG neither the query string nor what is said on the socket reaches the log."""
    caplog.set_level(logging.DEBUG)

    async def session(_: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": "hush-hush"})
        raise RuntimeError("broken")

    with serving(session) as (port, _), RawPeer(port) as peer:
        peer.shake_hands().socket.sendall(frame(TEXT, b"hush-hush\xff"))
        peer.read_close()
        wait_blocking(peer.ended, why="the connection ends")
        with socket.create_connection(("127.0.0.1", port)) as other:
            other.sendall(b"GET /?ticket=hush-hush HTTP/1.1\r\nnonsense hush-hush\r\n\r\n")
            wait_blocking(lambda: other.recv(1000) == b"", why="answered and closed")

    assert "hush-hush" not in caplog.text
    assert logging.getLogger("uvicorn.error.websocket").isEnabledFor(logging.ERROR)
