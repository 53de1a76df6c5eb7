"""Socket.IO over a plain WebSocket, as text frames: engine.io 4 around Socket.IO 5, the default namespace only.

A session is joined by its handshake: open `path(…)`, answer each frame with `reply(…)` where that is not None, and
the server puts the socket into the session's room and emits `connection_ack`. Events are named by the type of their
frame, which is their only argument.
"""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

_OPEN, _PING, _PONG = b"0", b"2", b"3"
_CONNECT: Final = b"40"
_EVENT: Final = b"42"
_ENDED: Final = (b"1", b"41", b"44")
"""Closed, disconnected, refused."""
_decode: Final = msgspec.json.Decoder().decode


class RefusedError(Exception):
    """The server does not want this socket, or no longer."""


def path(tenant_id: str, tier: str, session_id: str) -> str:
    """Where a session's WebSocket is opened."""
    hello = {"tenant_id": tenant_id, "tier": tier, "session_id": session_id}
    return "/socket.io/?" + urlencode({"EIO": 4, "transport": "websocket", **hello})


def reply(frame: bytes) -> bytes | None:
    """What has to be sent for this frame: `40` for the first one, a pong for a ping."""
    if frame.startswith(_ENDED):
        raise RefusedError(frame.decode())
    if frame.startswith(_OPEN):
        return _CONNECT
    return _PONG if frame == _PING else None


def event(frame: bytes) -> Any | None:
    """The only argument of an event: a frame as the service would send it; None for what is no event."""
    return _decode(frame[len(_EVENT) :])[1] if frame.startswith(_EVENT) else None
