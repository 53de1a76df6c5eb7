"""What a session's log has told, and what every later read of it must say (mechanics of log and position)."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from tests.broker.tenant import Tenant
from tests.packed import state_of

from orchestrator.broker.logs import Opened
from orchestrator.protocol.batches import Announced
from orchestrator.protocol.events import Event, SessionName, read_event
from orchestrator.protocol.position import Position


class Known(msgspec.Struct, frozen=True):
    """An event as it was announced."""

    offset: int
    at: int
    task: str
    ends: bool
    type: str
    data: dict[str, Any]
    frame: bytes

    @property
    def attempt(self) -> int:
        """The attempt that said it; 0 in an ending."""
        return int(self.data.get("attempt", 0))


class ToldLog:
    """One session's log as everybody has heard it."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant, session: str = "sess-1") -> None:
        self._runner = runner
        self._tenant = tenant
        self.session: Final = session
        self.epoch = ""
        self.history: list[Known] = []
        self.positions: list[Position] = []
        self.attempts: dict[str, int] = {}
        """The attempt under way of each task."""
        self.lost: set[str] = set()
        """Tasks whose records are gone."""
        self._seen: set[tuple[str, int, int]] = set()

    @property
    def top(self) -> int:
        """The offset of the newest event."""
        return len(self.history)

    def exists(self) -> bool:
        """Whether anything is kept of the session."""
        return bool(self._tenant.client.exists(self._tenant.key(f"session:{self.session}")))

    def length(self) -> int:
        """Entries in the list that still belong to the session."""
        key = self._tenant.key(f"log:{self.session}")
        return int(self._tenant.client.llen(key)) if self.exists() else 0

    def stands_at(self) -> int | None:
        """The offset that the server tells; None where it keeps nothing."""
        key = self._tenant.key(f"session:{self.session}")
        state = state_of(self._tenant.client, key)
        if state is None:
            return None
        self.adopt(state.epoch)
        return state.top

    def adopt(self, epoch: str) -> None:
        """Where the epoch is another one, everything begins anew."""
        if epoch != self.epoch:
            self.epoch, self.history = epoch, []

    def note(self, announced: Announced) -> None:
        """Offsets rise by one, and none is ever given to two events of one moment."""
        self.adopt(announced.epoch)
        event = self._event(announced)
        assert event.offset == self.top + 1
        identity = (self.epoch, event.offset, event.at)
        assert identity not in self._seen
        self._seen.add(identity)
        self.positions.append(Position(self.epoch, event.offset, event.at))
        frame = event.frame()
        told = json.loads(frame)
        self.history.append(
            Known(event.offset, event.at, event.task_id, event.ends, told["type"], told["data"], frame)
        )

    def _event(self, announced: Announced) -> Event:
        """What is too large to send along is read from the log at once."""
        if announced.entry:
            return read_event(self._name, announced.offset, announced.entry)
        _, events = self._page(announced.offset - 1)
        assert events, "an event was announced that the log does not have"
        return events[0]

    def _page(self, start: int, mark: int | None = None) -> tuple[Any, list[Event]]:
        reading = self._tenant.logs.read(self._tenant.name, self.session, self.epoch, start, mark)
        page, entries = self._runner.run(reading)
        return page, self._events(page.offsets, entries)

    def _events(self, offsets: Sequence[int], entries: Sequence[bytes]) -> list[Event]:
        return [read_event(self._name, *pair) for pair in zip(offsets, entries, strict=True)]

    @property
    def _name(self) -> SessionName:
        return SessionName(self._tenant.name, self.session, self.epoch)

    # What readers are told

    def read_all(self) -> None:
        """Everything that is kept, as a socket reads it that follows."""
        kept = self.top - self.length()
        if self.exists() and not self.is_torn(kept):
            page, events = self._page(kept)
            assert page.outcome == "read"
            self._read_on(kept, events, page.reached, page.mark)

    def resume(self, position: Position) -> None:
        """A reader comes with a position that it was told some time."""
        length, existed = self.length(), self.exists()
        opened, events = self._open(position)
        kept = self.top - length <= position.offset <= self.top
        entry = self.history[position.offset - 1] if 0 < position.offset <= self.top else None
        checked = entry is not None and (position.offset > self.top - length or position.offset == self.top)
        right = not checked or (entry is not None and entry.at == position.mark)
        honoured = existed and position.epoch == self.epoch and kept and right
        whole = honoured and not self.is_torn(position.offset)
        self.adopt(opened.epoch)
        # Where a page lies before what cannot be told, the reader hears of that with the next one.
        assert opened.recovered == whole or (opened.recovered and honoured and opened.reached < self.top)
        if opened.recovered:
            self._read_on(position.offset, events, opened.reached, opened.reached_mark)
        else:
            assert events == []

    def resume_earliest(self) -> None:
        """A reader asks for all that is kept: what lies behind the last ending that cannot be told."""
        length, known = self.length(), bool(self.history) and self.exists()
        opened, events = self._open("earliest")
        self.adopt(opened.epoch)
        start = self.top - length if known else 0
        torn = [known.offset for known in self.history[start:] if known.ends and known.task in self.lost]
        assert opened.start in (torn or [start])
        self._read_on(opened.start, events, opened.reached, opened.reached_mark)

    def _open(self, resume: Position | str) -> tuple[Opened, list[Event]]:
        return self._runner.run(self._tenant.open(resume, session=self.session))

    def is_torn(self, start: int) -> bool:
        """Whether an ending after `start` cannot be told any more."""
        return any(known.ends and known.task in self.lost for known in self.history[start:])

    def _read_on(self, start: int, events: list[Event], reached: int, mark: str) -> None:
        """Page by page up to the newest event, or to what cannot be told; then everything is checked."""
        while reached < self.top:
            page, more = self._page(reached, int(mark))
            if page.outcome == "gone":
                assert self.is_torn(reached)
                return
            assert page.reached > reached
            events, reached, mark = [*events, *more], page.reached, page.mark
        self.check(start, events, reached)

    def check(self, start: int, events: list[Event], reached: int) -> None:
        """Every event after `start` is told, or stands in one that is; nothing is told twice."""
        assert reached == self.top
        last = start
        for event in events:
            assert event.offset > last
            told = self.history[event.offset - 1]
            passed = self.history[last : event.offset - 1]
            if told.type == "agent_chunk":
                self._check_merged(told, passed, json.loads(event.frame())["data"])
            else:
                assert event.frame() == told.frame
            self._check_covered(passed)
            last = event.offset
        self._check_covered(self.history[last:])

    def _check_merged(self, told: Known, passed: list[Known], data: dict[str, Any]) -> None:
        """Chunks that follow one another are one; what it contains is taken off `passed`."""
        merged = [told]
        while passed and _belongs(passed[-1], told):
            merged.insert(0, passed.pop())
        assert data["delta"] == "".join(chunk.data["delta"] for chunk in merged)
        assert (data["seq_from"], data["seq"]) == (merged[0].data["seq_from"], told.data["seq"])
        assert data["attempt"] == told.attempt

    def _check_covered(self, passed: list[Known]) -> None:
        """What was left out are chunks of tasks that ended later in the log, or of older attempts."""
        for known in passed:
            assert known.type == "agent_chunk"
            ended = any(later.ends and later.task == known.task for later in self.history[known.offset :])
            assert ended or known.task in self.lost or self.attempts.get(known.task, 0) > known.attempt


def _belongs(known: Known, chunk: Known) -> bool:
    return (known.type, known.task, known.attempt) == ("agent_chunk", chunk.task, chunk.attempt)
