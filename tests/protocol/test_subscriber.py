"""One reader of a session: nothing twice, nothing missing, and never unbounded (contract §4)."""

import json

from hypothesis import settings
from tests.protocol.subscriber_model import Entry, SubscriberModel, event_of

from orchestrator.protocol.subscriber import QUEUED_BYTES_MAX, Subscriber

SubscriberModel.TestCase.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
TestWhateverTheOrder = SubscriberModel.TestCase


def live() -> Subscriber:
    """A reader that has read the log up to offset 1."""
    reader = Subscriber()
    reader.start(1, 10)
    reader.go_live()
    return reader


def frames(reader: Subscriber) -> list[tuple[int, int]]:
    """Offset and covers of the frames that wait."""
    found: list[tuple[int, int]] = []
    while reader.waiting:
        frame = json.loads(reader.next_frames(1)[0][0])
        found.append((int(frame["position"].split(":")[1].split("-")[0]), frame.get("covers", 1)))
    return found


def test_in_order() -> None:
    """What follows is queued, what came before is passed over."""
    reader = live()
    for offset in (2, 2, 1, 3):
        reader.offer(event_of(Entry(offset, "u", "a")))
    assert frames(reader) == [(2, 1), (3, 1)]


def test_hole() -> None:
    """A hole sends the reader to the log, from where it stands, and nothing from behind the hole is queued."""
    reader = live()
    reader.offer(event_of(Entry(3, "u", "a")))
    assert (reader.state, reader.offset, bool(reader.waiting)) == ("replay", 1, False)
    reader.offer(event_of(Entry(2, "u", "a")))
    assert not reader.waiting


def test_missed() -> None:
    """To be told that there is more does the same; what is known already does nothing."""
    reader = live()
    reader.missed(1)
    assert reader.state == "live"
    reader.missed(2)
    assert reader.state == "replay"


def test_falls_behind() -> None:
    """Too much unread is forgotten, but for what is no event; the log has it."""
    reader = live()
    reader.offer(event_of(Entry(2, "u", "a")))
    reader.next_frames(1)
    reader.say(b'{"type":"pong"}')
    for offset in range(3, 8):
        reader.offer(event_of(Entry(offset, "c", "a", "x" * (QUEUED_BYTES_MAX // 4))))
    assert (reader.state, reader.offset) == ("replay", 2)
    assert reader.next_frames(1) == ([b'{"type":"pong"}'], 0)
    assert not reader.waiting


def test_covered_by_the_next_frame() -> None:
    """Events that are not wanted are covered by the next one that is, and a client may resume behind them."""
    reader = live()
    reader.want({"agent_response"})
    for entry in (Entry(2, "u", "a"), Entry(3, "c", "a", "x"), Entry(4, "e", "a"), Entry(5, "u", "b")):
        reader.offer(event_of(entry))
    assert frames(reader) == [(4, 3)]
    assert str(reader.reached("e1")) == "e1:5-50"


def test_page_that_ends_in_nothing() -> None:
    """A page may reach behind its last event, and the position says so."""
    reader = Subscriber()
    reader.start(0, 0)
    reader.replay([event_of(Entry(2, "u", "a"))], 4, 40)
    assert str(reader.reached("e1")) == "e1:4-40"
    reader.go_live()
    reader.offer(event_of(Entry(5, "u", "a")))
    assert frames(reader) == [(2, 2), (5, 3)]


def test_ending_is_told_to_the_writer() -> None:
    """The writer learns which frame ends a task, to note that it was delivered."""
    reader = live()
    reader.offer(event_of(Entry(2, "u", "a")))
    reader.offer(event_of(Entry(3, "e", "a")))
    assert [reader.next_frames(1)[1] for _ in range(2)] == [0, 3]


def test_closed() -> None:
    """Nothing is queued for a reader that is closed."""
    reader = live()
    reader.close()
    reader.offer(event_of(Entry(2, "u", "a")))
    assert (reader.state, bool(reader.waiting)) == ("closed", False)
