"""Entries of the log become frames, whatever they hold (contract §4)."""

import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.events import EVENT_TYPES, Event, SessionName, read_event
from orchestrator.protocol.filters import listed, matching

NAME = SessionName("acme", "sess-1", "e1")
AT = 1_767_323_045_678_901


def entry(kind: str, *rest: Any, blob: bytes = b"", attempt: int = 1) -> bytes:
    """An entry as `frame` in logs.lua writes it."""
    meta = msgspec.msgpack.encode([64 + len(blob), AT, kind, "task-1", attempt, *rest])
    return struct.pack(">H", len(meta)) + meta + blob


def told(event: Event, covers: int = 1) -> dict[str, Any]:
    """The frame as a client reads it."""
    frame: dict[str, Any] = json.loads(event.frame(covers))
    return frame


def test_frame_of_a_chunk() -> None:
    """The contract's members, the event's own time, and the position with its mark."""
    assert told(read_event(NAME, 7, entry("c", 3, 10, 12, blob=b"hi"))) == {
        "type": "agent_chunk",
        "data": {"delta": "hi", "seq": 3, "seq_from": 3, "attempt": 1},
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "session_id": "sess-1",
        "tenant_id": "acme",
        "task_id": "task-1",
        "position": f"e1:7-{AT}",
    }


def test_merged_chunk() -> None:
    """A merged one tells the first seq it contains, also where that is 0."""
    data = told(read_event(NAME, 7, entry("c", 3, 0, 12, 0, blob=b"merged")))["data"]
    assert (data["seq_from"], data["seq"]) == (0, 3)


def test_frame_of_an_update() -> None:
    """Status and attempt, and as `detail` the result that came with it."""
    assert told(read_event(NAME, 1, entry("u", "queued")))["data"] == {"status": "queued", "attempt": 1}
    event = read_event(NAME, 1, entry("u", "progress", blob=b'{"result":{"step":1}}', attempt=2))
    assert told(event)["data"] == {"status": "progress", "attempt": 2, "detail": {"step": 1}}


def test_frame_of_an_answer() -> None:
    """Text and callback lie one behind the other in the entry."""
    raw = b'{"result":{"sources":[1]},"execution_time":2}'
    event = read_event(NAME, 9, entry("e", "completed", "", 5, blob="héll".encode() + raw))
    assert event.ends
    assert told(event)["type"] == "agent_response"
    assert told(event)["data"]["response"] == "héll"
    assert told(event)["data"]["sources"] == [1]


def test_frame_of_an_error() -> None:
    """An ending that the service made has its code and no callback."""
    event = read_event(NAME, 9, entry("e", "timeout", "deadline", 0))
    assert (event.ends, told(event)["type"]) == (True, "error")
    message = "The agent did not answer in time."
    assert told(event)["data"] == {"status": "timeout", "code": "deadline", "message": message}


def test_covers() -> None:
    """A frame that stands for several events says for how many; for one it says nothing."""
    event = read_event(NAME, 9, entry("u", "queued"))
    assert "covers" not in told(event)
    assert told(event, 4) == told(event) | {"covers": 4}


@given(
    blob=st.binary(max_size=120),
    kind=st.sampled_from("ceu"),
    status=st.sampled_from(["completed", "failed", "timeout", "cancelled"]),
    length=st.integers(0, 130),
)
def test_frame_builder_never_raises(blob: bytes, kind: str, status: str, length: int) -> None:
    """Whatever bytes an agent had put in, there is a frame, and it is strict JSON."""
    rest: tuple[Any, ...] = {"c": (1, 0, 5), "u": (status,), "e": (status, "", length)}[kind]
    frame = read_event(NAME, 1, entry(kind, *rest, blob=blob)).frame()
    msgspec.json.decode(frame)
    frame.decode("utf-8")


@pytest.mark.parametrize(
    ("patterns", "types"),
    [
        (["*"], EVENT_TYPES),
        (["agent_*"], ("agent_chunk", "agent_response")),
        (["error", "task_update"], ("task_update", "error")),
        (["agent_chunk", "*_chunk"], ("agent_chunk",)),
        (["*e*r*"], ("agent_response", "error")),
        (["task_update*", "*error"], ("task_update", "error")),
    ],
)
def test_filters(patterns: list[str], types: tuple[str, ...]) -> None:
    """Patterns choose event types, told in the contract's order."""
    found = matching(patterns)
    assert found is not None
    assert tuple(listed(found)) == types


@pytest.mark.parametrize(
    "patterns",
    [
        ["pong"],
        ["agent_*", "nothing*"],
        ["AGENT_*"],
        [""],
        ["agent?chunk"],
        ["er*ror*or"],
        ["*" * 60_000 + "x"],
    ],
)
def test_pattern_that_names_nothing(patterns: list[str]) -> None:
    """A typo is found: a pattern that matches no type is an error of the whole request."""
    assert matching(patterns) is None
