"""The state of one reader of a session's log, without any I/O.

    replay ──caught up──► live ──missed one, or fell behind──► replay
       └────────────────────┴──► closed

In `replay` it takes pages of the log, in `live` what the tenant's channel brings. A reader that falls behind drops what
it has not been given and goes back to `replay`: the log is the buffer, it merges chunks, and memory stays bounded.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, Literal

from orchestrator.protocol.events import EVENT_TYPES, Event, EventType
from orchestrator.protocol.position import Position

State = Literal["replay", "live", "closed"]

QUEUED_BYTES_MAX: Final = 256 * 1024
WRITTEN_BYTES: Final = 64 * 1024
"""Frames of so many bytes are written at once, where that many wait."""
SAID_BYTES_MAX: Final = 256 * 1024
"""Of frames that are no events: the log does not have them, so who does not read its answers is too slow."""
_EVERY_TYPE: Final[frozenset[EventType]] = frozenset(EVENT_TYPES)


class Subscriber:
    """What one socket has been given, and what waits for it; offsets are of its session's epoch."""

    def __init__(self) -> None:
        self.state: State = "replay"
        self.offset = 0
        """The last event that was queued or passed over; the next one has this plus one."""
        self._mark = 0
        # Offset and mark of the last positioned frame that was written, and the offset of the last one that was queued:
        # what `covers` is counted from.
        self._framed = (0, 0)
        self._queued = 0
        self.waiting: deque[tuple[bytes, Event | None]] = deque()
        """The frames that are to be written; with the event that each tells, if it tells one."""
        self.waiting_bytes = 0
        """Those of all of them."""
        self._said = 0
        self._wanted: frozenset[EventType] = _EVERY_TYPE

    def start(self, offset: int, mark: int) -> None:
        """Begin after `offset`; `mark` is that of the entry there, as far as it is known."""
        self.offset, self._mark = self._framed = (offset, mark)
        self._queued = offset

    @property
    def wanted(self) -> frozenset[EventType]:
        """The event types that this reader gets; the others are covered by the next frame."""
        return self._wanted

    def want(self, types: Iterable[EventType]) -> None:
        """Choose the event types."""
        self._wanted = frozenset(types)

    def reached(self, epoch: str) -> Position:
        """Up to where everything was queued or passed over: where a client that filters may resume."""
        return Position(epoch, self.offset, self._mark)

    def say(self, frame: bytes) -> bool:
        """Queue a frame that is no event of the log; False where too many of those wait already."""
        if self._said > SAID_BYTES_MAX:
            return False
        self.waiting.append((frame, None))
        self.waiting_bytes += len(frame)
        self._said += len(frame)
        return True

    def offer(self, event: Event, after: int | None = None) -> None:
        """Take an event from the channel; `after` is the mark of the one before it, where that is known.

        A hole, too much unread, or another event where the reader stands than was seen here sends it to the log.
        """
        if self.state != "live" or event.offset < self.offset:
            return
        if event.offset == self.offset:
            # A message may begin before where the reader stands and go on behind it, so this place is looked at too.
            if event.at != self._mark:
                self.state = "replay"
            return
        if event.offset > self.offset + 1 or after not in {None, self._mark}:
            self.state = "replay"
            return
        self._take(event)
        if self.waiting_bytes > QUEUED_BYTES_MAX:
            self._fall_back()

    def replay(self, events: Iterable[Event], reached: int, mark: int) -> None:
        """Take a page of the log, which was read up to the offset `reached`, whose entry has this mark."""
        for event in events:
            self._take(event)
        if reached > self.offset:
            self.offset, self._mark = reached, mark

    def missed(self, offset: int) -> None:
        """Something up to `offset` exists; if it did not come, the log has to be read."""
        if self.state == "live" and offset > self.offset:
            self.state = "replay"

    def compare(self, offset: int, mark: int) -> None:
        """The log ends here; a reader that stands elsewhere has missed something, or seen what the server lost."""
        if self.state == "live" and (offset, mark) != (self.offset, self._mark):
            self.state = "replay"

    def go_live(self) -> None:
        """The log was read to its end, and nothing has been announced since."""
        self.state = "live"

    def next_frames(self, size_max: int = WRITTEN_BYTES) -> tuple[list[bytes], int]:
        """Frames to write at once, up to `size_max` reached; and the offset of the last that ends a task, else 0."""
        frames: list[bytes] = []
        size = ended = 0
        while self.waiting and size < size_max:
            frame, event = self.waiting.popleft()
            frames.append(frame)
            size += len(frame)
            if event is None:
                self._said -= len(frame)
                continue
            self._framed = (event.offset, event.at)
            if event.ends:
                ended = event.offset
        self.waiting_bytes -= size
        return frames, ended

    def close(self) -> None:
        """Nothing more is wanted."""
        self.state = "closed"
        self.waiting.clear()

    def _take(self, event: Event) -> None:
        self.offset, self._mark = event.offset, event.at
        if event.type in self._wanted:
            frame = event.frame(event.offset - self._queued)
            self._queued = event.offset
            self.waiting.append((frame, event))
            self.waiting_bytes += len(frame)

    def _fall_back(self) -> None:
        """Forget the events that were not written; what is no event is kept."""
        self.waiting = deque(item for item in self.waiting if item[1] is None)
        self.waiting_bytes = sum(len(frame) for frame, _ in self.waiting)
        self.offset, self._mark = self._framed
        self._queued = self.offset
        self.state = "replay"
