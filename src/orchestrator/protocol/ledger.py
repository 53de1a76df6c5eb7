"""The ledger of a task: what is known of it, from its record (contract §5)."""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from orchestrator.protocol.callbacks import read_callback, result_of
from orchestrator.protocol.events import ending
from orchestrator.protocol.questions import AskedQuestion, open_question
from orchestrator.protocol.tasks import ENDINGS
from orchestrator.protocol.times import rfc3339
from orchestrator.protocol.waiting import NOTHING, Explanation

MOMENTS: Final = (
    "accepted_at",
    "queued_at",
    "started_at",
    "first_chunk_at",
    "ended_at",
    "delivered_at",
    "acknowledged_at",
)
"""The members of a ledger's timeline, in the order in which they come about."""

# Members of an ending's data that a ledger has beside its `result`.
_OUTSIDE: Final = frozenset({"status", "execution_time", "tokens_used"})


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is told about one task."""

    task_id: str
    status: str
    code: str | None
    attempt: int
    session_id: str
    context_id: str
    timeline: dict[str, str | None]
    queue: str
    queue_position: int | None
    eta_seconds: tuple[int, int] | None
    waiting_for: str | None
    input_required: AskedQuestion | None
    """What waits for somebody to answer it."""
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    execution_time: Any
    tokens_used: Any
    position: str | None


def is_waiting(record: Mapping[str, bytes]) -> bool:
    """Whether no agent has the task, as far as anybody told."""
    return record["status"] in {b"accepted", b"queued", b"retrying"}


def read_ledger(task_id: str, record: Mapping[str, bytes], wait: Explanation = NOTHING) -> Ledger:
    """The ledger that a record tells, and `wait` of a task that no agent has."""
    status = record["status"].decode()
    data, callback = _ending(status, record)
    answered = status == "completed"
    return Ledger(
        task_id=task_id,
        status=status,
        code=None if data is None or answered else str(data["code"]),
        attempt=int(record["attempt"]),
        session_id=record["session"].decode(),
        context_id=record["context"].decode(),
        timeline={name: _moment(record.get(name)) for name in MOMENTS},
        queue=record["queue"].decode(),
        queue_position=wait.queue_position,
        eta_seconds=wait.eta_seconds,
        waiting_for=wait.waiting_for,
        input_required=open_question(record),
        result={name: value for name, value in data.items() if name not in _OUTSIDE}
        if data and answered
        else None,
        error=None if data is None or answered else _error(data, callback),
        execution_time=callback.get("execution_time"),
        tokens_used=callback.get("tokens_used"),
        position=record["position"].decode() if "position" in record else None,
    )


def _ending(status: str, record: Mapping[str, bytes]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    if status not in ENDINGS:
        return None, {}
    raw = record.get("result", b"")
    code = record.get("code", b"").decode()
    _, data = ending(status, code, raw, record.get("text", b""))
    return data, read_callback(raw) if raw else {}


def _error(data: dict[str, Any], callback: dict[str, Any]) -> dict[str, Any]:
    error = {name: data[name] for name in ("code", "message", "into") if name in data}
    given = result_of(callback).get("error")
    kind = cast("dict[str, Any]", given).get("type") if isinstance(given, dict) else None
    return {**error, "type": kind} if isinstance(kind, str) else error


def _moment(value: bytes | None) -> str | None:
    return rfc3339(int(value)) if value else None
