"""What a frame from a client says, member by member (contract §4)."""

from typing import Any, Final, cast

import msgspec

from orchestrator.protocol.events import EVENT_TYPES, EventType
from orchestrator.protocol.filters import matching
from orchestrator.protocol.json_limits import DEPTH_MAX, finite, is_deeper
from orchestrator.protocol.position import Position, parse_position

Members = dict[str, Any]

_decode: Final = msgspec.json.Decoder(float_hook=finite).decode


class Complaint(Exception):
    """What is wrong with a frame; the client is told and the socket stays."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


def read_members(text: str) -> Members:
    """The members of a frame; raises `Complaint` where it is no JSON object, or too deep."""
    if is_deeper(text.encode(), DEPTH_MAX):
        raise Complaint("invalid_frame", f"the frame is nested deeper than {DEPTH_MAX} levels")
    try:
        value = _decode(text)
    except (msgspec.DecodeError, ValueError):
        raise Complaint("invalid_frame", "the frame is not JSON") from None
    if not isinstance(value, dict):
        raise Complaint("invalid_frame", "the frame is no JSON object")
    return cast("Members", value)


def refuse_unknown(members: Members, known: frozenset[str]) -> None:
    """Raise `Complaint` for members beside these, so that a typo is found."""
    unknown = sorted(members.keys() - known)
    if unknown:
        raise Complaint("invalid_body", f"unknown members: {', '.join(unknown)[:200]}")


def text_of(members: Members, name: str) -> str | None:
    """A member that is text; None where it is absent or empty."""
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise Complaint("invalid_body", f"`{name}` must be a string")
    return value or None


def position_of(members: Members) -> Position:
    """The member `position`."""
    position = parse_position(text_of(members, "position") or "")
    if position is None:
        raise Complaint("invalid_body", "`position` is missing or unreadable")
    return position


def types_of(members: Members) -> frozenset[EventType]:
    """The event types that `events` names."""
    if members.get("topics"):
        raise Complaint("not_supported", "topics are not available yet")
    patterns = members.get("events")
    if (
        not isinstance(patterns, list)
        or not patterns
        or not all(isinstance(p, str) for p in cast("list[Any]", patterns))
    ):
        raise Complaint("invalid_body", '`events` must be a list of event types, like ["agent_*"]')
    types = matching(cast("list[str]", patterns))
    if types is None:
        raise Complaint("invalid_body", f"`events` names no event type; there are {', '.join(EVENT_TYPES)}")
    return types
