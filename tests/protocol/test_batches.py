"""A message on a tenant's channel (see `publish` in commit.lua)."""

import struct

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.batches import read_batch


def batch(runs: list[tuple[str, str, int, list[bytes]]]) -> bytes:
    """A message as the scripts publish it."""
    index = msgspec.msgpack.encode(
        [[s, e, first, [len(x) for x in entries]] for s, e, first, entries in runs]
    )
    return struct.pack(">I", len(index)) + index + b"".join(x for *_, entries in runs for x in entries)


entries_of_a_run = st.lists(st.binary(max_size=70))
runs_of_sessions = st.lists(
    st.tuples(st.text(min_size=1, max_size=9), st.just("e1"), st.integers(1, 2**50), entries_of_a_run),
    max_size=5,
)


@given(runs_of_sessions)
def test_there_and_back(runs: list[tuple[str, str, int, list[bytes]]]) -> None:
    """Each event comes with its session, epoch and offset, an empty entry where it was too large to send along."""
    found = [(a.session, a.epoch, a.offset, a.entry) for a in read_batch(batch(runs))]
    assert found == [
        (session, epoch, first + index, entry)
        for session, epoch, first, entries in runs
        for index, entry in enumerate(entries)
    ]


@given(runs_of_sessions, st.sets(st.text(min_size=1, max_size=9)))
def test_sessions_of_others_are_passed_over(
    runs: list[tuple[str, str, int, list[bytes]]], others: set[str]
) -> None:
    """Who wants some sessions gets their events as if there were no others."""
    wanted = {session for session, *_ in runs[::2]} | others
    message = batch(runs)
    assert list(read_batch(message, wanted)) == [a for a in read_batch(message) if a.session in wanted]


def test_message_that_is_none_of_ours() -> None:
    """Somebody else's message on the channel has no events, and is no error."""
    for message in (b"", b"x", b"\x00\x00\x00\x05hello", b"\xff" * 40, struct.pack(">I", 1) + b"\x90"):
        assert list(read_batch(message)) == []
