"""Whether what a client saw of its session proves itself: no hole, no repeat, no disorder, one ending, whole texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.faults.record import Connection, Followed, Frame, SessionKey, place_of

from orchestrator.protocol.position import Position


class Violation(NamedTuple):
    """A broken promise: which one, where, and what was seen."""

    rule: str
    key: SessionKey
    task_id: str | None
    detail: str


@dataclass
class Text:
    """The answer of a task as a browser has it; `hidden` is how much had been covered unseen at its last piece."""

    attempt: int
    hidden: int
    text: str = ""
    next_seq: int = 0
    is_partial: bool = False


class Reader:
    """Follows a session as its client did, frame by frame; `violations` is what a client could object to."""

    def __init__(self, followed: Followed, streams: Mapping[str, bool] | None = None) -> None:
        self.key = followed.key
        self._streams = streams or {}
        """Whether the sender of a task wanted chunks, where that is known."""
        self.violations: list[Violation] = []
        self.endings: dict[str, Frame] = {}
        """The one ending of each task, since the client last had to begin anew."""
        self.resets = 0
        self.last: Position | None = None
        self._hidden = 0
        self._texts: dict[str, Text] = {}
        self._first_seen: dict[str, int] = {}
        for connection in followed.connections:
            self._connect(connection)
            for frame in connection.frames:
                self._read(frame)

    def _connect(self, connection: Connection) -> None:
        if connection.recovered and self.last is not None:
            return
        # The client begins anew: what it had is void, and the session's view has the rest.
        if not connection.recovered:
            self.resets += 1
        self.last = place_of(connection.position)
        self.endings.clear()
        self._texts.clear()
        self._first_seen.clear()

    def _read(self, frame: Frame) -> None:
        self._follow(frame)
        self._first_seen.setdefault(frame.task_id, self._hidden)
        self._hidden += _unseen(frame)
        if frame.task_id in self.endings:
            rule = "second_ending" if frame.ends else "after_ending"
            self._object(rule, frame, f"it had ended at {self.endings[frame.task_id].position}")
        elif frame.ends:
            self._end(frame)
        elif frame.type == "agent_chunk":
            self._chunk(frame)
        elif frame.data.get("status") == "retrying":
            self._texts[frame.task_id] = Text(frame.data["attempt"], self._hidden)

    def _follow(self, frame: Frame) -> None:
        place, last = frame.place, self.last
        assert last is not None, "a frame before the acknowledgement"
        if place.epoch != last.epoch:
            self._object("disorder", frame, f"another epoch than {last}")
        elif place.offset <= last.offset:
            self._object("repeat", frame, f"the client had {last}")
        elif place.offset != last.offset + frame.covers:
            self._object("hole", frame, f"covers {frame.covers} after {last}")
        self.last = place

    def _chunk(self, frame: Frame) -> None:
        if not self._streams.get(frame.task_id, True):
            self._object("unwanted_chunk", frame, "it was sent with stream: false")
        text, attempt = self._texts.get(frame.task_id), frame.data["attempt"]
        if text is None or attempt > text.attempt:
            text = Text(attempt, self._hidden)
            # Only who had to begin anew may not know how an answer began.
            text.is_partial = bool(self.resets) and frame.data["seq_from"] > 0
            text.next_seq = frame.data["seq_from"] if text.is_partial else 0
        if attempt < text.attempt:
            self._object("old_attempt", frame, f"attempt {text.attempt} had begun")
        elif frame.data["seq_from"] != text.next_seq:
            self._object("lost_chunk", frame, f"chunk {text.next_seq} was next")
        text.text += frame.data["delta"]
        text.next_seq = frame.data["seq"] + 1
        text.hidden = self._hidden
        self._texts[frame.task_id] = text

    def _end(self, frame: Frame) -> None:
        self.endings[frame.task_id] = frame
        text = self._texts.pop(frame.task_id, None)
        # Of a task whose sender is not known an answer without chunks may be what was asked for.
        expected = self._streams.get(frame.task_id, text is not None)
        if frame.type != "agent_response" or not expected or (text and text.is_partial):
            return
        shown = text.text if text else ""
        response = str(frame.data.get("response") or "")
        was_hidden = self._hidden > (text.hidden if text else self._first_seen[frame.task_id])
        if shown != response and not (response.startswith(shown) and was_hidden):
            self._object("text", frame, f"shown {shown!r}, answer {response!r}")

    def _object(self, rule: str, frame: Frame, detail: str) -> None:
        self.violations.append(
            Violation(rule, self.key, frame.task_id, f"{frame.type} at {frame.position}: {detail}")
        )


def _unseen(frame: Frame) -> int:
    """How many events a frame stands for beside what it shows."""
    shown = frame.data["seq"] - frame.data["seq_from"] + 1 if frame.type == "agent_chunk" else 1
    return max(0, frame.covers - shown)
