"""A viewer's WebSocket that counts what comes by its text, without taking frames apart."""

import asyncio
import base64
import os
from collections.abc import Callable, Mapping
from typing import Final, cast

_HEAD_END: Final = b"\r\n\r\n"
ENDING: Final = b'"type":"agent_response"'
CHUNK: Final = b'"type":"agent_chunk"'
_PING: Final = 0x89
_SHORT: Final = 125


class Counter:
    """How often a text came in a stream of bytes, also where it lies across two reads."""

    def __init__(self, text: bytes) -> None:
        self.text: Final = text
        self.count = 0
        self._rest = b""

    def feed(self, data: bytes) -> int:
        """How many more there are."""
        read = self._rest + data
        found = read.count(self.text)
        self._rest = read[-(len(self.text) - 1) :]
        self.count += found
        return found


class Viewer(asyncio.Protocol):
    """A socket of a session; `ended` is told how many endings have come at once.

    `greeting` is sent as soon as the socket is there.
    """

    def __init__(
        self,
        path: str,
        ended: Callable[[int], None],
        headers: Mapping[str, str] | None = None,
        greeting: bytes = b"",
    ) -> None:
        self.opened: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        """Done once the first frame has come."""
        self.upgraded: Final = asyncio.Event()
        self.endings: Final = Counter(ENDING)
        self.chunks: Final = Counter(CHUNK)
        self.bytes = 0
        self._path = path
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._greeting = greeting
        self._ended = ended
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"{self._headers}\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"the socket was refused: {self._path}"))

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        if not self.upgraded.is_set():
            head = data.find(_HEAD_END)
            assert data.startswith(b"HTTP/1.1 101"), data[:200]
            assert head > 0, "a handshake in pieces"
            self.upgraded.set()
            self.send(self._greeting)
            data = data[head + len(_HEAD_END) :]
        if data and not self.opened.done():
            self.opened.set_result(None)
        if data and data[0] == _PING:
            data = self._pong(data)
        self.chunks.feed(data)
        if ended := self.endings.feed(data):
            self._ended(ended)

    def send(self, frames: bytes) -> None:
        """Send what is framed already."""
        assert self._transport is not None, "not connected"
        self._transport.write(frames)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _pong(self, data: bytes) -> bytes:
        """Answer a ping at the head of what came; what is behind it."""
        length = data[1]
        assert length <= _SHORT, "a long ping"
        self.send(bytes((0x8A, 0x80 | length, 0, 0, 0, 0)) + data[2 : 2 + length])  # masked with zeros
        return data[2 + length :]


def text_frame(text: str) -> bytes:
    """A short text as a client frames it, masked with zeros."""
    payload = text.encode()
    assert len(payload) <= _SHORT, "a long text"
    return bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload
