"""A message on a tenant's channel: the events of one script call, by session (see `publish` in commit.lua)."""

from collections.abc import Container, Iterator
from typing import Final

import msgspec


class _Run(msgspec.Struct, array_like=True):
    session: str
    epoch: str
    first: int
    lengths: list[int]
    after: int | None = None


class Announced(msgspec.Struct):
    """An event of a session; an empty entry says that it has to be read from the log."""

    session: str
    epoch: str
    offset: int
    entry: bytes
    after: int | None
    """The mark of the event before it, where the message tells it."""


_index: Final = msgspec.msgpack.Decoder(list[_Run]).decode


def read_batch(message: bytes, wanted: Container[str] | None = None) -> Iterator[Announced]:
    """The events of a message, each session's in order; none where somebody else wrote to the channel.

    `wanted` are sessions: of a message of many, most may be followed elsewhere.
    """
    at = 4 + int.from_bytes(message[:4])
    try:
        runs = _index(message[4:at])
    except msgspec.MsgspecError:
        return
    for run in runs:
        if wanted is not None and run.session not in wanted:
            at += sum(run.lengths)
            continue
        after = run.after
        for index, length in enumerate(run.lengths):
            entry = message[at : at + length]
            yield Announced(run.session, run.epoch, run.first + index, entry, after)
            at, after = at + length, None
