"""What a Redis server sends, cut into whole values, and which of them are Pub/Sub messages."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# How many values belong to one of these, by the number that it states; an attribute goes before its value.
_PARTS: Final = {ord("*"): (1, 0), ord(">"): (1, 0), ord("~"): (1, 0), ord("%"): (2, 0), ord("|"): (2, 1)}
_TEXTS: Final = b"$=!"

_HEAD: Final = rb"%s[0-9]+\r\n\$[0-9]+\r\n"
_PUSHED: Final = re.compile((_HEAD % b">") + rb"([sp]?message|invalidate)\r\n(?:\$[0-9]+\r\n([^\r]*))?")
_LISTED: Final = re.compile((_HEAD % rb"\*") + rb"([sp]?message)\r\n\$[0-9]+\r\n([^\r]*)")
_CONFIRMED: Final = re.compile((_HEAD % rb"\*") + rb"[sp]?subscribe\r\n")


class Message(NamedTuple):
    """A value that nobody asked for."""

    kind: str
    """`message`, `smessage`, `pmessage` (then `channel` is the pattern), or `invalidate` without a channel."""
    channel: str


class Values:
    """Whole values of one connection, however they were split on the way."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._at = 0
        self._missing = 1
        self._subscribed = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, Message | None]]:
        """The values that `data` completes, as they were sent, each with what it says where it is a message."""
        self._bytes += data
        begin = 0
        while self._pass_one():
            if self._missing == 0:
                value, begin = bytes(self._bytes[begin : self._at]), self._at
                self._missing = 1
                yield value, self._message(value)
        del self._bytes[:begin]
        self._at -= begin

    def _pass_one(self) -> bool:
        """Go on to the next value or part of one; False where it is not all there yet."""
        line = self._bytes.find(b"\r\n", self._at)
        if line < 0:
            return False
        kind, end = self._bytes[self._at], line + 2
        more = 0
        if kind in _TEXTS:
            length = int(self._bytes[self._at + 1 : line])
            end += length + 2 if length >= 0 else 0
        elif kind in _PARTS:
            each, besides = _PARTS[kind]
            more = each * max(0, int(self._bytes[self._at + 1 : line])) + besides
        if end > len(self._bytes):
            return False
        self._at = end
        self._missing += more - 1
        return True

    def _message(self, value: bytes) -> Message | None:
        """RESP3 pushes messages; in RESP2 they are arrays like others, but only for who has subscribed."""
        found = _PUSHED.match(value)
        if found is None and value.startswith(b"*"):
            self._subscribed = self._subscribed or _CONFIRMED.match(value) is not None
            found = _LISTED.match(value) if self._subscribed else None
        if found is None:
            return None
        return Message(found[1].decode(), (found[2] or b"").decode("utf-8", "replace"))
