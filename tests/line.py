"""A WebSocket whose reader decides how fast it reads, and which can be torn like a cable."""

import asyncio
import socket
import struct
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

AT_ONCE: Final = 65_536
SMALLEST_BUFFER: Final = 4096
_RESET: Final = struct.pack("ii", 1, 0)


class Line:
    """One connection: `open()`, then `read()` until it says None."""

    def __init__(self, url: str, *, at_once: int = AT_ONCE, pause: float = 0.0) -> None:
        """Reads `at_once` bytes and rests for `pause` seconds; who rests has a small buffer in the kernel, too."""
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._at_once = at_once
        self._pause = pause
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if pause:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BUFFER)

    async def open(self) -> None:
        """Connects and asks for the WebSocket; raises `OSError`. The answer is read with the first frames."""
        uri = self._protocol.uri
        await asyncio.get_running_loop().sock_connect(self._socket, (uri.host, uri.port))
        self._protocol.send_request(self._protocol.connect())
        await self._flush()

    async def read(self) -> list[bytes] | None:
        """The text frames that came, or None once the connection is closed. Raises `OSError` where it breaks."""
        if self._protocol.close_rcvd:
            return None
        if self._pause:
            await asyncio.sleep(self._pause)
        data = await asyncio.get_running_loop().sock_recv(self._socket, self._at_once)
        if not data:
            return None
        self._protocol.receive_data(data)
        if self._protocol.handshake_exc:
            raise ConnectionError(str(self._protocol.handshake_exc))
        found = [
            bytes(event.data)
            for event in self._protocol.events_received()
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT
        ]
        await self._flush()
        return found

    @property
    def closed_with(self) -> tuple[int, str]:
        """Code and reason of the server's close frame; 1006 where none came."""
        close = self._protocol.close_rcvd
        return (close.code, close.reason) if close else (1006, "")

    def end(self, *, torn: bool = False) -> None:
        """Gives it up; `torn` sends RST, as a network does that went away."""
        if torn:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

    async def _flush(self) -> None:
        if data := b"".join(self._protocol.data_to_send()):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
