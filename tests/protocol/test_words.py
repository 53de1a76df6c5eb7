"""Ids, contexts, tiers, times and positions: the contract's words (contract §1, §7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.context import CONTEXT_TYPES, ContextType, canonical_id
from orchestrator.protocol.identifiers import (
    is_valid_id,
    is_valid_idempotency_key,
    is_valid_task_id,
    is_valid_user_id,
)
from orchestrator.protocol.position import Position, parse_position
from orchestrator.protocol.tiers import DEFAULT_LIMITS, TIERS
from orchestrator.protocol.times import micros, rfc3339


@pytest.mark.parametrize("value", ["a", "_", "-", "9", "tenant-456", "a.b@c+d-e_f", "A" * 128, "-leading"])
def test_ids(value: str) -> None:
    """Letters, digits and `._@+-`, 1 to 128 of them."""
    assert is_valid_id(value)


@pytest.mark.parametrize(
    "value",
    ["", ".a", "@a", "+a", "a" * 129, "a b", "a:b", "a{b", "a}b", "a*", "a/b", "a\n", "a\x00", "é", "\u0430",
     "a\u200b", "a\r\n"],
)  # fmt: skip
def test_what_is_no_id(value: str) -> None:
    """Nothing that could leave its place in a key, a URL or a line of a log."""
    assert not is_valid_id(value)


@given(st.text(max_size=130))
def test_ids_keep_to_ascii(value: str) -> None:
    """Whatever is valid is ASCII without anything that Redis, globs or hash tags read."""
    if is_valid_id(value):
        assert value.isascii()
        assert not set(value) & set("{}:*?[]\\/ \t\r\n\0'\"")


def test_task_ids() -> None:
    """`task-` and URL-safe characters."""
    assert is_valid_task_id("task-Az09_-")
    for value in ("task-", "Task-a", "task-a.b", "task-a}", "task-a\n", "atask-a", "task-" + "a" * 124):
        assert not is_valid_task_id(value)


def test_user_ids_and_idempotency_keys() -> None:
    """Printable, in any script, up to their length."""
    for valid, longest in ((is_valid_user_id, 255), (is_valid_idempotency_key, 128)):
        assert valid("u" * longest)
        assert valid("ana maría {x}:*")
        for value in ("", "u" * (longest + 1), "a\nb", "a\x00", "\x7f", "a\u202eb"):
            assert not valid(value)


@pytest.mark.parametrize(
    ("kind", "name", "canonical"),
    [
        ("agent", "123", "agent-123"),
        ("agent", "agent-123", "agent-123"),
        ("agent", "agent-agent-123", "agent-agent-123"),
        ("workflow", "agent-123", "workflow-agent-123"),
        ("collection", "collection-", "collection-"),
    ],
)
def test_canonical_id(kind: ContextType, name: str, canonical: str) -> None:
    """`<type>-<id>`, where an id that begins so is taken as it is."""
    assert canonical_id(kind, name) == canonical


@given(st.sampled_from(CONTEXT_TYPES), st.text(max_size=20))
def test_canonical_id_is_stable(kind: ContextType, name: str) -> None:
    """Every spelling has one canonical form, which is its own."""
    once = canonical_id(kind, name)
    assert canonical_id(kind, once) == once


def test_tiers() -> None:
    """Four tiers with the contract's limits; a burst is a tenth of a minute's requests, at least 5."""
    assert TIERS == ("free", "advance", "professional", "enterprise")
    rows = [DEFAULT_LIMITS[tier] for tier in TIERS]
    assert [row.requests_per_minute for row in rows] == [60, 300, 1_200, 6_000]
    assert [row.max_outstanding for row in rows] == [20, 100, 500, 5_000]
    assert [row.max_connections for row in rows] == [20, 100, 500, 5_000]
    assert [row.messages_per_second for row in rows] == [5, 10, 20, 50]
    assert [row.weight for row in rows] == [1, 2, 4, 8]
    assert [row.burst for row in rows] == [6, 30, 120, 600]


@given(st.integers(0, 4_102_444_800_000_000))
def test_times_go_there_and_back(at: int) -> None:
    """Microseconds survive their spelling, which is RFC 3339 in UTC."""
    spelled = rfc3339(at)
    assert spelled.endswith("Z")
    assert len(spelled) == 27
    assert micros(spelled) == at


def test_times() -> None:
    """One known moment, and other spellings of it; what is no moment is an error."""
    assert rfc3339(1_767_323_045_678_901) == "2026-01-02T03:04:05.678901Z"
    assert micros("2026-01-02T04:04:05.678901+01:00") == 1_767_323_045_678_901
    with pytest.raises(ValueError, match="Invalid isoformat"):
        micros("yesterday")


@given(st.from_regex(r"\A[A-Za-z0-9]{1,64}\Z"), st.integers(0, 10**15 - 1), st.integers(0, 10**17 - 1))
def test_positions_go_there_and_back(epoch: str, offset: int, mark: int) -> None:
    """A position survives its spelling."""
    position = Position(epoch, offset, mark)
    assert parse_position(str(position)) == position


@given(st.text(max_size=40))
def test_any_text_is_a_position_or_none(text: str) -> None:
    """What cannot be read is no position, and never an error."""
    position = parse_position(text)
    assert position is None or position.offset >= 0


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:1", "a:1-", ":1-1", "a:-1-1", "a:1-1 ", "a:1-1\n", "a:1.5-1", "a b:1-1", "a:1-1-1",
     "a:1" + "0" * 15 + "-1"],
)  # fmt: skip
def test_what_is_no_position(text: str) -> None:
    """Spellings that nobody was given."""
    assert parse_position(text) is None
