"""What a peer can do to a socket's end: leave while it is written to, and choose the code it closes with."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.websockets import WebSocket
from uvicorn.protocols.utils import ClientDisconnected

from orchestrator.api.text_frames import TEXTS
from orchestrator.api.websocket import SocketOutlet, code_label
from orchestrator.delivery.connection import Gone


class Texts:
    """What the server offers for a peer that has left."""

    def __init__(self) -> None:
        self.writable = asyncio.Event()
        self.writable.set()

    def write_texts(self, frames: Sequence[bytes]) -> None:
        """Fails as uvicorn does."""
        raise ClientDisconnected


async def socket_of_a_peer_that_left() -> WebSocket:
    """A socket whose handshake was completed; its peer has gone since."""

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message["type"] != "websocket.accept":
            raise ConnectionResetError

    socket = WebSocket({"type": "websocket", "extensions": {TEXTS: Texts()}}, receive, send)
    await socket.accept()
    return socket


async def test_peer_that_left() -> None:
    """To write to it is an expected end, not a fault of ours; to close it is nothing."""
    outlet = SocketOutlet(await socket_of_a_peer_that_left())
    with pytest.raises(Gone):
        await outlet.send([b"{}"])
    await SocketOutlet(await socket_of_a_peer_that_left()).close(1012, "")


def test_codes_that_are_counted() -> None:
    """The protocol's codes and ours are labels of a figure; what else clients think of is one label."""
    assert [code_label(code) for code in (1000, 4408, None)] == ["1000", "4408", "1006"]
    assert {code_label(code) for code in range(3000, 4400)} == {"other"}
