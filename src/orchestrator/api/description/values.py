"""The plain values of the wire, each with what a description says of it."""

from typing import Annotated, Any, Final

from msgspec import Meta, UnsetType

from orchestrator.protocol.context import ContextType
from orchestrator.protocol.identifiers import PATTERN

Schema = dict[str, Any]
"""A JSON Schema, or another object of a description."""

POSITION: Final = "9f2c41d07a5be816:41-1767323045678901"
MOMENT: Final = "2026-01-02T03:04:05.678901Z"
TASK: Final = "task-Zx3v9QmT5cYk1LrW8uJ2aA"

Id = Annotated[str, Meta(pattern=PATTERN, extra_json_schema={"minLength": 1, "maxLength": 128})]
UserId = Annotated[
    str,
    # No pattern can say it: what is printable is a table of Unicode.
    Meta(min_length=1, max_length=255, extra_json_schema={"format": "printable"}),
]
TaskId = Annotated[str, Meta(pattern="^task-[A-Za-z0-9_-]{1,123}$", examples=[TASK])]
Moment = Annotated[
    str, Meta(pattern="Z$", examples=[MOMENT], extra_json_schema={"format": "date-time"}, description="UTC.")
]
Position = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9]{1,64}:[0-9]{1,15}-[0-9]{1,17}$",
        examples=[POSITION],
        description="A place in the session's log: `<epoch>:<offset>-<mark>`. Keep it whole.",
    ),
]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]

Left = UnsetType
"""`X | Left = UNSET`: a member that may be left out."""


def context_id(kind: ContextType) -> Schema:
    """An id of this type with or without the type in front; with it, it still has at most 128 characters."""
    rest = 128 - len(f"{kind}-")
    pattern = f"^({kind}-[A-Za-z0-9._@+-]{{0,{rest}}}|[A-Za-z0-9_-][A-Za-z0-9._@+-]{{0,{rest - 1}}})$"
    return {"type": "string", "pattern": pattern, "minLength": 1, "maxLength": 128}


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}
