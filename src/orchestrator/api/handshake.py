"""Which handshakes of WebSockets are answered here, from the head as HTTP's parser found it.

The library would parse it anew, with a parser in Python for each header. It still has all that is not quite plain, and
says what is wrong with it.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha1
from typing import Any, Final

_TARGET_MAX: Final = 8_000
_NAME_MAX: Final = 100
_VALUE_MAX: Final = 7_900
"""Bytes; the library takes lines a little longer than that."""
_JUDGED_BY_LIBRARY: Final = frozenset({b"content-length", b"transfer-encoding", b"sec-websocket-protocol"})
_ASKED: Final[Mapping[bytes, frozenset[bytes]]] = {
    b"upgrade": frozenset({b"websocket"}),
    b"connection": frozenset({b"upgrade", b"keep-alive, upgrade"}),
    b"sec-websocket-version": frozenset({b"13"}),
}
_is_key: Final = re.compile(rb"[A-Za-z0-9+/]{22}==\Z").match
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""
_ANSWER: Final = b"".join(
    line + b"\r\n"
    for line in (
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: %b",
        b"",
    )
)


def upgrade_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What a client wants to go over to, in lower case."""
    last = dict(headers)
    asked = map(bytes.strip, last.get(b"connection", b"").lower().split(b","))
    return last.get(b"upgrade", b"").lower() if b"upgrade" in asked else None


def answer_to(scope: Mapping[str, Any], target: bytes) -> bytes | None:
    """The 101 that accepts this handshake; None where the library may find something to refuse in it."""
    if scope["method"] != "GET" or scope["http_version"] != "1.1":
        return None
    if len(target) > _TARGET_MAX or not target.isascii():
        return None
    found: dict[bytes, bytes] = dict(scope["headers"])
    if len(found) < len(scope["headers"]) or not _JUDGED_BY_LIBRARY.isdisjoint(found):
        return None
    if max(map(len, found)) > _NAME_MAX or max(map(len, found.values())) > _VALUE_MAX:
        return None
    key = found.get(b"sec-websocket-key", b"")
    if not _is_key(key) or any(found.get(name, b"").lower() not in asked for name, asked in _ASKED.items()):
        return None
    return _ANSWER % b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
