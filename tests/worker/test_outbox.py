"""Chunks on their way out: the first at once, then those of a moment together (docs/agents.md)."""

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.worker.outbox import LARGEST_CHUNK, MOST_UNSENT, Outbox

INTERVAL = 0.025


class Timers:
    """A clock that stands still: `ring` is when the interval is over."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.calls: dict[object, Callable[[], None]] = {}

    def later(self, seconds: float, call: Callable[[], None]) -> "_Timer":
        self.asked.append(seconds)
        timer = _Timer(self)
        self.calls[timer] = call
        return timer

    async def ring(self) -> None:
        """Lets the interval be over and everything happen that follows."""
        calls, self.calls = self.calls, {}
        for call in calls.values():
            call()
        await settled()


class _Timer:
    def __init__(self, timers: Timers) -> None:
        self._timers = timers

    def cancel(self) -> None:
        self._timers.calls.pop(self, None)


class Wire:
    """Where text is sent to; while `blocked` nothing arrives."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.begun = 0
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, text: str) -> None:
        self.begun += 1
        await self.open.wait()
        self.sent.append(text)


async def settled() -> None:
    """Everything that can go on without a timer has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def timers() -> Timers:
    """The interval passes when the test says so."""
    return Timers()


@pytest.fixture
def wire() -> Wire:
    """Delivers at once unless the test closes it."""
    return Wire()


@pytest.fixture
def outbox(wire: Wire, timers: Timers) -> Outbox:
    """Coalesces by the clock of the test."""
    return Outbox(wire.send, INTERVAL, timers.later)


async def test_the_first_goes_at_once_and_the_rest_together(
    outbox: Outbox, wire: Wire, timers: Timers
) -> None:
    """One send for the first piece, one for all that came within the interval after it, in order."""
    for piece in ("a", "b", "c"):
        await outbox.put(piece)
    await settled()
    assert wire.sent == ["a"]

    await timers.ring()
    assert wire.sent == ["a", "bc"]
    assert timers.asked == [INTERVAL, INTERVAL]


async def test_after_a_pause_the_next_goes_at_once(outbox: Outbox, wire: Wire, timers: Timers) -> None:
    """A piece that comes after the interval does not wait for another."""
    await outbox.put("a")
    await settled()
    await timers.ring()
    await outbox.put("b")
    await settled()

    assert wire.sent == ["a", "b"]


async def test_flush_does_not_wait_for_the_interval(outbox: Outbox, wire: Wire) -> None:
    """When `flush` returns all is sent, in order, whatever the clock says."""
    for piece in ("a", "b", "c"):
        await outbox.put(piece)
    await outbox.flush()

    assert "".join(wire.sent) == "abc"


async def test_the_interval_of_before_a_flush_is_called_off(
    outbox: Outbox, wire: Wire, timers: Timers
) -> None:
    """There is one timer at most: an older one would open the gate too early."""
    for piece in ("a", "b", "c"):
        await outbox.put(piece)
        await outbox.flush()

    assert len(timers.calls) == 1


async def test_what_comes_during_a_slow_send_is_joined(outbox: Outbox, wire: Wire, timers: Timers) -> None:
    """While one send is under way there is no second one, even when the interval is over."""
    wire.open.clear()
    for piece in ("a", "b", "c"):
        await outbox.put(piece)
    await timers.ring()
    assert wire.begun == 1

    wire.open.set()
    await settled()
    assert wire.sent == ["a", "bc"]


async def test_put_returns_at_once_until_the_bound(outbox: Outbox, wire: Wire) -> None:
    """A blocked send does not slow the agent down until MOST_UNSENT bytes wait; then it waits, too."""
    wire.open.clear()
    await outbox.put("x" * MOST_UNSENT)
    waits = asyncio.create_task(outbox.put("y"))
    await settled()
    assert not waits.done()

    wire.open.set()
    await waits
    await outbox.flush()
    assert "".join(wire.sent) == "x" * MOST_UNSENT + "y"


async def test_much_text_does_not_wait_for_the_interval(outbox: Outbox, wire: Wire) -> None:
    """As soon as a callback would be full it goes, in pieces of 32 KiB at most."""
    await outbox.put("a")
    await settled()
    await outbox.put("€" * LARGEST_CHUNK)
    await outbox.flush()

    assert "".join(wire.sent) == "a" + "€" * LARGEST_CHUNK
    assert max(len(piece.encode()) for piece in wire.sent) <= LARGEST_CHUNK


async def test_a_full_callback_goes_before_the_interval_is_over(outbox: Outbox, wire: Wire) -> None:
    """Memory is bounded by bytes, not by time."""
    await outbox.put("a")
    await settled()
    await outbox.put("b" * LARGEST_CHUNK)
    await settled()

    assert wire.sent == ["a", "b" * LARGEST_CHUNK]


async def test_drop_forgets_what_is_not_sent(outbox: Outbox, wire: Wire, timers: Timers) -> None:
    """After `drop` neither what waits nor what is being sent arrives, not even by a `flush`; no timer is left."""
    wire.open.clear()
    await outbox.put("a")
    await settled()
    await outbox.put("b")
    outbox.drop()
    wire.open.set()
    await outbox.flush()

    assert wire.sent == []
    assert len(timers.calls) == 0


async def test_an_empty_piece_is_nothing(outbox: Outbox, wire: Wire, timers: Timers) -> None:
    """It is not sent and does not begin an interval."""
    await outbox.put("")
    await outbox.flush()

    assert (wire.sent, timers.asked) == ([], [])


async def test_an_interval_of_0_sends_each_by_itself(wire: Wire, timers: Timers) -> None:
    """Nothing is joined, and `put` returns when its own piece is sent."""
    outbox = Outbox(wire.send, 0, timers.later)
    for piece in ("a", "b", "", "c"):
        await outbox.put(piece)

    assert (wire.sent, timers.asked) == (["a", "b", "c"], [])


async def test_an_error_of_sending_is_told(timers: Timers) -> None:
    """What could not be sent is a fault that the next call raises, not one that disappears."""

    async def fail(_: str) -> None:
        raise LookupError

    outbox = Outbox(fail, INTERVAL, timers.later)
    await outbox.put("a")
    await settled()
    with pytest.raises(LookupError):
        await outbox.flush()
    outbox.drop()


async def test_others_move_while_an_agent_never_waits(outbox: Outbox) -> None:
    """An agent that only yields gives everybody else a turn after each piece."""
    turns: list[int] = []

    async def other() -> None:
        for turn in range(5):
            turns.append(turn)
            await asyncio.sleep(0)

    neighbour = asyncio.create_task(other())
    for _ in range(10):
        await outbox.put("x")

    assert len(turns) == 5
    await neighbour
