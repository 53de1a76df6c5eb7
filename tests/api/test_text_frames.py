"""WebSocket text frames of our own making are what RFC 6455 says."""

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from orchestrator.api.text_frames import framed


@pytest.mark.parametrize("sizes", [(0, 1, 125), (126, 127), (65_535,), (65_536, 3)])
def test_read_by_a_client(sizes: tuple[int, ...]) -> None:
    """A client's parser finds each text whole, whatever its size, one behind the other."""
    texts = [bytes([97 + index]) * size for index, size in enumerate(sizes)]
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(framed(texts))
    assert client.parser_exc is None
    assert client.events_received() == [Frame(Opcode.TEXT, text) for text in texts]
