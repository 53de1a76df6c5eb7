"""Both ends of a WebSocket for tests of the protocol: uvicorn with it, and peers that misbehave on purpose."""

import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Self

import pytest
import uvicorn
from tests.in_process import serving_app
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

Session = Callable[[Any, Any], Awaitable[None]]
"""What the application does with one accepted socket: `session(receive, send)`."""

TARGET = "/ws/s?ticket=hush-hush"
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


def handshake(target: str = TARGET, more_headers: bytes = b"") -> bytes:
    """A client's request for a WebSocket."""
    return (
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%b\r\n"
    ) % (target.encode(), more_headers)


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

    def __init__(self, port: int, request: bytes | None = None, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(handshake() if request is None else request)

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

    def send_for_ever(self, data: bytes) -> None:
        """Ends when the server takes no more."""
        with suppress(ConnectionResetError, BrokenPipeError):
            while True:
                self.socket.sendall(data)

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
