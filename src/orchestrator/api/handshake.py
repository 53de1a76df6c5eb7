"""Which handshakes of WebSockets need not be parsed twice, by the server for HTTP and by the library for WebSockets."""

from collections.abc import Mapping
from typing import Any, Final

_LINE_MAX: Final = 8_000
"""Bytes; the library takes a little more."""
_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})


def is_plain(scope: Mapping[str, Any], target: bytes) -> bool:
    """Whether the library would find nothing to refuse in this head if it parsed it anew."""
    if scope["method"] != "GET" or scope["http_version"] != "1.1":
        return False
    if len(target) > _LINE_MAX or not target.isascii():
        return False
    return all(
        len(name) + len(value) <= _LINE_MAX and name not in _OF_BODIES for name, value in scope["headers"]
    )
