"""The life of a task: which status may follow which, and how it ends (contract §5)."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

EndStatus = Literal["completed", "failed", "timeout", "cancelled"]
OpenStatus = Literal["accepted", "queued", "running", "retrying", "input_required"]
Status = OpenStatus | EndStatus

ENDINGS: Final[tuple[EndStatus, ...]] = get_args(EndStatus)
OPEN: Final[tuple[OpenStatus, ...]] = get_args(OpenStatus)

CallbackStatus = Literal["running", "streaming", "progress", "input_required"] | EndStatus

_END: Final[frozenset[Status]] = frozenset(ENDINGS)

# One row a status; what is not in a row cannot happen. The scripts in broker/lua keep to this
# table, and docs/architecture.md draws its diagram from it.
TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    "accepted": frozenset[Status](("queued", "running")) | _END,
    "queued": frozenset[Status](("running",)) | _END,
    "running": frozenset[Status](("retrying", "input_required")) | _END,
    "input_required": frozenset[Status](("running", "retrying")) | _END,
    "retrying": frozenset[Status](("running",)) | _END,
    "completed": frozenset(),
    "failed": frozenset(),
    "timeout": frozenset(),
    "cancelled": frozenset(),
}

DEFAULT_CODES: Final[Mapping[EndStatus, str]] = {
    "failed": "agent_failed",
    "timeout": "deadline",
    "cancelled": "cancelled",
}

DEFAULT_MESSAGES: Final[Mapping[str, str]] = {
    "agent_failed": "The agent could not answer.",
    "deadline": "The agent did not answer in time.",
    "cancelled": "The task was cancelled.",
    "superseded": "A newer message took the place of this one.",
    "merged": "The message was merged into another one.",
    "result_too_large": "The agent's answer was too large.",
    "too_many_attempts": "The agent failed too often on this message.",
    "suspended": "The tenant was suspended.",
}
