"""What an experiment came to: a table, a JSON object, and for each violation the history of its task."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, cast

from tests.faults.continuity import Violation
from tests.faults.record import Followed, Frame, Record
from tests.faults.verdict import Verdict

_MOST_HISTORIES: Final = 10
_MOST_LINES: Final = 40
_AROUND: Final = 15.0
"""Seconds before and after a task that may explain what became of it."""


def summary(record: Record, verdict: Verdict) -> dict[str, Any]:
    """The figures, by name."""
    connections = [made for followed in record.followed.values() for made in followed.connections]
    frames = [frame for connection in connections for frame in connection.frames]
    answers = Counter(str(answer.code or answer.status) for sent in record.sent for answer in sent.answers)
    return {
        "messages": len(record.sent),
        "answers": dict(answers),
        "accepted": sum(sent.accepted is not None for sent in record.sent),
        "frames": len(frames),
        "events": sum(frame.covers for frame in frames),
        "reconnects": len(connections) - len(record.followed),
        "recovered_false": sum(not connection.recovered for connection in connections),
        "retried_tasks": len({frame.task_id for frame in frames if frame.data.get("status") == "retrying"}),
        "endings": dict(_endings(record)),
        "faults": dict(Counter(strike.name.partition(" ")[0] for strike in record.strikes)),
        "unusable reports": record.strays,
        "lost_acceptances": len(verdict.lost),
        "violations": dict(Counter(violation.rule for violation in verdict.violations)),
    }


def table(figures: dict[str, Any]) -> str:
    """The same to be read by people."""
    return "\n".join(f"{name.replace('_', ' '):<18}{_words(value)}" for name, value in figures.items())


def histories(record: Record, verdict: Verdict, logs: Iterable[Path]) -> Iterator[str]:
    """Everything that is known of the first violations, and what struck when; nothing where there is none."""
    paths = list(logs)
    for violation in verdict.violations[:_MOST_HISTORIES]:
        yield "\n".join(_history(record, violation, paths))
    if verdict.violations:
        told = (
            f"  {strike.began:6.1f} s … {strike.healed:6.1f} s  {strike.name}" for strike in record.strikes
        )
        yield "\n".join(["what struck:", *told])


def _endings(record: Record) -> Counter[str]:
    told = (ledger for ledger in record.ledgers.values() if ledger)
    return Counter(" ".join(filter(None, (ledger["status"], ledger.get("code")))) for ledger in told)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        parts = cast("dict[str, int]", value)
        return ", ".join(f"{name} × {count}" for name, count in sorted(parts.items())) or "none"
    return str(value)


def _history(record: Record, violation: Violation, logs: list[Path]) -> Iterator[str]:
    key, task_id = violation.key, violation.task_id
    yield f"VIOLATION {violation.rule} in {key.tenant}/{key.session}, {task_id}: {violation.detail}"
    about = [sent for sent in record.sent if task_id in sent.tasks]
    yield from (f"  {sent}" for sent in about)
    if followed := record.followed.get(key):
        yield from _seen(followed, task_id, [answer.at for sent in about for answer in sent.answers])
    yield f"  ledger: {record.ledgers.get(task_id or '')}"
    if task_id:
        lines = [f"  {path.name}: {line}" for path in logs for line in _lines_with(path, task_id)]
        yield from lines[:_MOST_LINES]


def _seen(followed: Followed, task_id: str | None, moments: list[float]) -> Iterator[str]:
    """The connections of the session at that time, each with what it showed of the task."""
    moments = moments + [frame.at for frame in followed.frames if frame.task_id == task_id]
    for made in followed.connections:
        if moments and not min(moments) - _AROUND < made.at < max(moments) + _AROUND:
            continue
        told = f"{made.at:.3f} replica {made.replica} {made.asked} -> {made.position} {made.recovered}"
        yield f"  connected {told}; {len(made.frames)} frames, then {made.end or 'open'}"
        for before, frame in zip([None, *made.frames], made.frames, strict=False):
            if frame.task_id == task_id:
                yield f"    after {before.position if before else '-'}: {_told(frame)}"


def _told(frame: Frame) -> str:
    return f"{frame.at:.3f} {frame.position} covers {frame.covers} {frame.type} {frame.data}"


def _lines_with(path: Path, text: str) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_text(errors="replace").splitlines() if text in line]
