"""A place in a session's log: `"<epoch>:<offset>-<mark>"` (contract §1)."""

import re
from typing import Final

import msgspec

EARLIEST: Final = "earliest"

_FORM: Final = re.compile(r"^([A-Za-z0-9]{1,64}):(\d{1,15})-(\d{1,17})\Z").match


class Position(msgspec.Struct, frozen=True):
    """Where a log or a reader stands; `str()` gives the form that clients keep whole."""

    epoch: str
    offset: int
    mark: int = 0
    """Append time of the entry at `offset`, in microseconds since 1970; 0 before the first."""

    def __str__(self) -> str:
        return spelled(self.epoch, self.offset, self.mark)


def spelled(epoch: str, offset: int, mark: int) -> str:
    """A position as clients keep it."""
    return f"{epoch}:{offset}-{mark}"


def parse_position(text: str) -> Position | None:
    """The position that `text` spells, or None where it is unreadable."""
    found = _FORM(text)
    return Position(found[1], int(found[2]), int(found[3])) if found else None
