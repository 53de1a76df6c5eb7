"""One reader of a log that grows, as a model: whatever order things happen in, its frames prove that none is missing.

The log here is a plain list. The reader gets pages of it and what a channel brings, misses some of that, filters, falls
behind, and is cut off and comes again with the last position that it has.
"""

import json
import struct
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.protocol.events import EVENT_TYPES, Event, EventType, SessionName, read_event
from orchestrator.protocol.position import parse_position
from orchestrator.protocol.subscriber import QUEUED_BYTES_MAX, Subscriber

NAME: Final = SessionName("acme", "sess-1", "e1")
PAGE: Final = 4
TASKS: Final = st.sampled_from("abc")
WAYS: Final = st.sampled_from(["heard"] * 4 + ["told", "lost"])
"""How the channel brings an event: whole, too large to send along, or not at all."""


class Entry(msgspec.Struct, frozen=True):
    """An event of the log: an update, a chunk with its text, or an ending."""

    offset: int
    kind: str
    task: str
    text: str = ""
    seq: int = 0


def event_of(entry: Entry, first: int | None = None, text: str | None = None) -> Event:
    """The event, or with `first` and `text` the merged one that ends with it."""
    rest: dict[str, tuple[list[Any], bytes]] = {
        "u": (["progress"], b""),
        "c": ([entry.seq, 0, 0, first], (entry.text if text is None else text).encode()),
        "e": (["completed", "", 0], b'{"result":{"response":"done"}}'),
    }
    told, blob = rest[entry.kind]
    meta = msgspec.msgpack.encode([64, entry.offset * 10, entry.kind, entry.task, 1, *told])
    return read_event(NAME, entry.offset, struct.pack(">H", len(meta)) + meta + blob)


class SubscriberModel(RuleBasedStateMachine):
    """The log, the reader, and the client that adds up what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Entry] = []
        self.seqs: dict[str, int] = {}
        self.reader = Subscriber()
        self.reader.start(0, 0)
        # The client's side: the offset it has proven, its texts, and what is complete.
        self.proven: int = 0
        self.position = "e1:0-0"
        self.texts: dict[str, str] = {}
        self.ended: set[str] = set()
        self.wanted: frozenset[EventType] = frozenset(EVENT_TYPES)
        self.filtered = False

    # The log grows; the channel may bring it

    def announce(self, entry: Entry, how: str) -> None:
        self.log.append(entry)
        if how == "heard":
            self.reader.offer(event_of(entry))
        elif how == "told":
            self.reader.missed(entry.offset)

    @rule(task=TASKS, size=st.sampled_from([1, 5, 90_000]), how=WAYS)
    def chunk(self, task: str, size: int, how: str) -> None:
        if self.is_open(task):
            seq = self.seqs[task] = self.seqs.get(task, -1) + 1
            text = chr(ord("A") + seq % 26) * size
            self.announce(Entry(len(self.log) + 1, "c", task, text, seq), how)

    @rule(task=TASKS, ends=st.booleans(), how=WAYS)
    def report(self, task: str, ends: bool, how: str) -> None:
        if self.is_open(task):
            self.announce(Entry(len(self.log) + 1, "e" if ends else "u", task), how)

    @rule(task=TASKS, pieces=st.integers(3, 6))
    def flood(self, task: str, pieces: int) -> None:
        for _ in range(pieces):
            self.chunk(task, 90_000, "heard")

    @rule(back=st.integers(0, 2))
    def heard_again(self, back: int) -> None:
        if self.log[-1 - back :]:
            self.reader.offer(event_of(self.log[-1 - back :][0]))

    # The reader reads on

    @precondition(lambda self: self.reader.state == "replay" and not self.reader.waiting)
    @rule()
    def reads_a_page(self) -> None:
        self.read_on()

    @rule()
    def catches_up(self) -> None:
        while self.reader.state == "replay":
            if self.reader.waiting:
                self.take(json.loads(self.reader.next_frames(1)[0][0]))
            else:
                self.read_on()

    def read_on(self) -> None:
        events, reached = self.page(self.reader.offset)
        self.reader.replay(events, reached, reached * 10)
        if reached == len(self.log):
            self.reader.go_live()

    @rule(text=st.sampled_from(["pong", "accepted"]))
    def said(self, text: str) -> None:
        self.reader.say(b'{"type":"%b"}' % text.encode())

    @initialize(filters=st.booleans())
    def begins(self, filters: bool) -> None:
        self.filtered = filters

    @precondition(lambda self: self.filtered)
    @rule(types=st.sets(st.sampled_from(EVENT_TYPES)))
    def filter(self, types: set[EventType]) -> None:
        self.wanted = frozenset(types)
        self.reader.want(types)

    # The client

    @precondition(lambda self: self.reader.waiting)
    @rule(times=st.integers(1, 6))
    def takes(self, times: int) -> None:
        for _ in range(times):
            if self.reader.waiting:
                self.take(json.loads(self.reader.next_frames(1)[0][0]))

    @rule()
    def is_cut_off_and_resumes(self) -> None:
        self.reader.close()
        position = parse_position(self.position)
        assert position is not None
        self.reader = Subscriber()
        self.reader.want(self.wanted)
        self.reader.start(position.offset, position.mark)

    def take(self, frame: dict[str, Any]) -> None:
        """What a client does: prove continuity, join the text, keep the position."""
        if "position" not in frame:
            return
        position = parse_position(frame["position"])
        assert position is not None
        covers = int(frame.get("covers", 1))
        assert covers >= 1
        assert position.offset == self.proven + covers
        assert position.mark == position.offset * 10
        self.proven, self.position = position.offset, frame["position"]
        task, data = frame["task_id"], frame["data"]
        assert task not in self.ended
        if frame["type"] == "agent_chunk":
            self.texts[task] = self.texts.get(task, "") + data["delta"]
        if frame["type"] == "agent_response":
            self.ended.add(task)

    @invariant()
    def text_is_the_logs_own(self) -> None:
        """Of an open task the client has exactly the text up to where it has proven the log.

        Of one that ended meanwhile the chunks may be left out: its ending, still to come, stands for them.
        """
        if self.filtered:
            return
        for task in "abc":
            if self.is_open(task):
                told = "".join(e.text for e in self.log[: self.proven] if e.task == task)
                assert self.texts.get(task, "") == told

    @invariant()
    def waiting_frames_are_bounded(self) -> None:
        """Two pages at most wait, whatever the reader does not take."""
        if self.reader.state == "live":
            waiting = sum(len(frame) for frame, _ in self.reader.waiting)
            assert waiting <= QUEUED_BYTES_MAX + PAGE * 100_000

    def teardown(self) -> None:
        """Left alone with an open reader, everything arrives."""
        self.reader.want(EVENT_TYPES)
        self.wanted = frozenset(EVENT_TYPES)
        self.reader.missed(len(self.log))
        self.catches_up()
        while self.reader.waiting:
            self.take(json.loads(self.reader.next_frames(1)[0][0]))
        assert self.reader.offset == len(self.log)
        if not self.filtered:
            assert self.proven == len(self.log) or all(e.kind == "c" for e in self.log[self.proven :])

    def is_open(self, task: str) -> bool:
        return not any(entry.kind == "e" and entry.task == task for entry in self.log)

    def page(self, seen: int) -> tuple[list[Event], int]:
        """A page as the scripts make it: neighbouring chunks merged, those of ended tasks left out."""
        events: list[Event] = []
        run: list[Entry] = []
        rest = self.log[seen : seen + PAGE]

        def flush() -> None:
            if run:
                events.append(event_of(run[-1], run[0].seq, "".join(entry.text for entry in run)))
                run.clear()

        for entry in rest:
            if entry.kind == "c" and not self.is_open(entry.task):
                continue
            if entry.kind != "c" or (
                run and (run[-1].task != entry.task or run[-1].offset != entry.offset - 1)
            ):
                flush()
            if entry.kind == "c":
                run.append(entry)
            else:
                events.append(event_of(entry))
        flush()
        return events, seen + len(rest)
