"""What a peer can do to a socket's end: leave while it is written to, and choose the code it closes with."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected

from orchestrator.api.conversation import SocketOutlet, code_label
from orchestrator.api.inbox import Gate
from orchestrator.delivery.connection import Gone


class PeerThatLeft:
    """What the server offers for a socket whose peer has gone since its handshake."""

    has_messages = False

    def __init__(self) -> None:
        self.writable = Gate()

    def write_texts(self, frames: Sequence[bytes]) -> None:
        """Fails as uvicorn does."""
        raise ClientDisconnected

    async def receive(self) -> Any:
        """Nothing comes."""
        return {"type": "websocket.disconnect"}

    async def send(self, message: Any, /) -> None:
        """Fails as a transport does."""
        raise ConnectionResetError

    def hand_over(self, on_message: Callable[[], None]) -> None:
        """Nothing will come."""

    def let_go(self) -> None:
        """Nothing is left."""


async def test_peer_that_left() -> None:
    """To write to it is an expected end, not a fault of ours; to close it is nothing."""
    outlet = SocketOutlet(PeerThatLeft())
    with pytest.raises(Gone):
        await outlet.send([b"{}"])
    await SocketOutlet(PeerThatLeft()).close(1012, "")


def test_codes_that_are_counted() -> None:
    """The protocol's codes and ours are labels of a figure; what else clients think of is one label."""
    assert [code_label(code) for code in (1000, 4408, None)] == ["1000", "4408", "1006"]
    assert {code_label(code) for code in range(3000, 4400)} == {"other"}
