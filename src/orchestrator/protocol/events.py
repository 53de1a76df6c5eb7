"""Entries of a session's log, as the scripts write them, and the frames that they become (contract §4)."""

from typing import Any, Final, Literal

import msgspec

from orchestrator.protocol.callbacks import answer, clean_text, failure, read_callback, result_of
from orchestrator.protocol.position import spelled
from orchestrator.protocol.questions import asked_question
from orchestrator.protocol.tasks import EndStatus
from orchestrator.protocol.times import rfc3339

EventType = Literal["task_update", "agent_chunk", "agent_response", "error"]
EVENT_TYPES: Final[tuple[EventType, ...]] = ("task_update", "agent_chunk", "agent_response", "error")

_encode: Final = msgspec.json.Encoder().encode


class _Meta(msgspec.Struct, array_like=True):
    """The head of an entry, see `frame` in logs.lua; what a–d mean depends on the kind."""

    size: int
    at: int
    kind: Literal["u", "c", "e"]
    task: str
    attempt: int
    a: str | int = ""
    b: str | int = ""
    c: str | int = 0
    d: str | int | None = None


_meta: Final = msgspec.msgpack.Decoder(_Meta).decode


class ChunkData(msgspec.Struct, frozen=True):
    """The data of an `agent_chunk`."""

    delta: str
    seq: int
    seq_from: int
    attempt: int


class Frame(msgspec.Struct, omit_defaults=True):
    """A frame to a client. Those with a `position` are events of the log."""

    type: str
    data: Any
    timestamp: str
    session_id: str
    tenant_id: str
    task_id: str | None = None
    position: str | None = None
    covers: int | None = None


class SessionName(msgspec.Struct, frozen=True):
    """Whose events: tenant, session and the epoch of its log."""

    tenant: str
    session: str
    epoch: str


class Event(msgspec.Struct):
    """One event of one session, with its frame, built when it is first needed and shared by its readers."""

    name: SessionName
    offset: int
    type: EventType
    task_id: str
    ends: bool
    """Whether it is its task's ending."""
    at: int
    _data: Any
    _frame: bytes = b""

    def frame(self, covers: int = 1) -> bytes:
        """The frame as JSON; `covers` is how many events it stands for."""
        if not self._frame:
            name = self.name
            position = spelled(name.epoch, self.offset, self.at)
            moment = rfc3339(self.at)
            self._frame = _encode(
                Frame(self.type, self._data, moment, name.session, name.tenant, self.task_id, position)
            )
        return self._frame if covers == 1 else b'%b,"covers":%d}' % (self._frame[:-1], covers)


def read_event(name: SessionName, offset: int, entry: bytes) -> Event:
    """The event that a whole entry tells; total: whatever an agent sent, this does not raise."""
    split = 2 + int.from_bytes(entry[:2])
    meta, blob = _meta(entry[2:split]), entry[split:]
    kind, data = _told(meta, blob)
    return Event(name, offset, kind, meta.task, meta.kind == "e", meta.at, data)


def _told(meta: _Meta, blob: bytes) -> tuple[EventType, Any]:
    if meta.kind == "c":
        seq = int(meta.a)
        first = seq if meta.d is None else int(meta.d)
        return "agent_chunk", ChunkData(clean_text(blob), seq, first, meta.attempt)
    if meta.kind == "u" and meta.b == "asked":
        return "task_update", _question(meta, blob)
    if meta.kind == "u":
        return "task_update", _update(str(meta.a), meta.attempt, blob, told=meta.b == "told")
    return ending(meta.a, str(meta.b), blob[int(meta.c) :], blob[: int(meta.c)])  # type: ignore[arg-type]


def _question(meta: _Meta, blob: bytes) -> dict[str, Any]:
    detail = asked_question(blob, str(meta.d), int(meta.c))
    return {"status": meta.a, "attempt": meta.attempt, "detail": detail}


def _update(status: str, attempt: int, blob: bytes, *, told: bool) -> dict[str, Any]:
    """`told`: the blob is the service's own and has members of the update, not an agent's callback."""
    update: dict[str, Any] = {"status": status, "attempt": attempt}
    if told:
        update |= read_callback(blob)
    elif blob:
        update["detail"] = result_of(read_callback(blob))
    return update


def ending(status: EndStatus, code: str, raw: bytes, text: bytes) -> tuple[EventType, dict[str, Any]]:
    """The type and data of a task's last frame, from the agent's callback (empty: the service ended it)."""
    callback = read_callback(raw) if raw else {}
    if status == "completed":
        return "agent_response", answer(callback, clean_text(text))
    return "error", failure(callback, status, code)
