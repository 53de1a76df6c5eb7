"""What is told of a task that waits: the words, and ranges of time that hold whatever the agents do within them."""

import heapq
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.waiting import (
    Place,
    Supply,
    Waiter,
    eta_in_line,
    eta_in_turn,
    eta_of_newcomer,
    explain,
    rounded,
)

FIRST = Place(own=0, ahead=0, beside=0)
BUSY = Supply(workers=1, slots=2, run_seconds=10.0, deviation=1.0)
PLAIN = Supply(starts=36.0, silence_seconds=2.0)


def told(place: Place | None = FIRST, supply: Supply = BUSY, **waiter: Any) -> tuple[Any, ...]:
    """What is told, as a tuple; the task waits in `agent-9` and is the first of its queue."""
    known: dict[str, Any] = {"context": "agent-9", "waited_seconds": 60.0, "listed": 0, **waiter}
    return msgspec.structs.astuple(explain(Waiter(**known), place, supply))


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ((None, None, "an earlier message of this session"), {"held": True, "due_seconds": 4.0}),
        ((None, None, "the next attempt in 4 s"), {"due_seconds": 3.2}),
        ((1, (0, 15), "a free worker"), {}),
        ((1, (0, 1), None), {"supply": Supply(workers=1, slots=1, idle=True)}),
        ((1, None, "a free worker"), {"supply": Supply(workers=1, slots=1)}),
        ((4, (8, 25), "3 ahead"), {"place": Place(own=1, ahead=3, beside=0)}),
        ((4, None, "3 ahead"), {"place": Place(own=1, ahead=3, beside=None)}),
        ((None, None, "more than 200 ahead"), {"place": Place(own=1, ahead=200, more=True)}),
        (
            (2, (0, 15), "tenant concurrency 5/5"),
            {"place": Place(own=0, ahead=1, beside=0, running=5, cap=5, capped_contexts=1)},
        ),
        (
            (1, None, "tenant concurrency 6/5"),
            {"place": Place(own=0, ahead=0, beside=0, running=6, cap=5, capped_contexts=2)},
        ),
        ((3, None, "no worker for agent-9"), {"place": None, "supply": Supply(), "listed": 2}),
        ((3, None, "2 ahead"), {"place": None, "supply": Supply(), "listed": 2, "waited_seconds": 4.9}),
        ((1, None, "no worker for agent-9"), {"supply": Supply(silence_seconds=61.0, starts=0.4)}),
        ((1, None, None), {"supply": Supply(silence_seconds=59.0, starts=0.4)}),
        ((1, None, None), {"supply": Supply(context_running=1)}),
        ((4, (0, 20), "3 ahead"), {"place": None, "supply": PLAIN, "listed": 3}),
        ((None, None, None), {"place": None, "listed": None}),
        (
            (None, None, "more than 200 ahead"),
            {"place": None, "supply": PLAIN, "listed": None, "listed_more": True},
        ),
    ],
)  # fmt: skip
def test_what_is_told(expected: tuple[Any, ...], given: dict[str, Any]) -> None:
    """Of several causes the one that has to go first is told; nothing is said where nothing is known."""
    assert told(**given) == expected


@given(
    ahead=st.integers(0, 60),
    beside=st.integers(0, 10),
    slots=st.integers(1, 8),
    mean=st.floats(0.1, 300),
    share=st.floats(0, 0.6),
    data=st.data(),
)
def test_begins_within_the_range(
    ahead: int, beside: int, slots: int, mean: float, share: float, data: st.DataObject
) -> None:
    """Whenever the runs under way began and whatever each takes within two deviations, the task begins in its time."""
    deviation = mean * share
    shortest, longest = max(0.0, mean - 2 * deviation), mean + 2 * deviation
    eta = eta_in_turn(
        Place(own=0, ahead=ahead, beside=beside),
        Supply(workers=1, slots=slots, run_seconds=mean, deviation=deviation),
    )
    assert eta is not None
    between = data.draw(st.integers(0, beside))
    ends = [data.draw(st.floats(0, longest)) for _ in range(slots)]
    heapq.heapify(ends)
    for _ in range(ahead + between):
        heapq.heapreplace(ends, ends[0] + data.draw(st.floats(shortest, longest)))
    assert eta[0] - 1e-6 <= ends[0] <= eta[1] + 1e-6


@given(own=st.integers(0, 20), running=st.integers(5, 9))
def test_a_cap_is_a_queue_of_its_own(own: int, running: int) -> None:
    """Behind a cap of 5 the tenant's own runs decide, however many workers are free."""
    place = Place(own=own, ahead=own, beside=0, running=running, cap=5, capped_contexts=1)
    supply = Supply(workers=9, slots=900, idle=True, run_seconds=10.0, deviation=1.0)
    over = running - 5
    assert eta_in_turn(place, supply) == rounded(
        ((own + over) // 5 * 8.0, math.ceil((own + over + 1) / 5) * 12.0)
    )


@given(position=st.integers(1, 500), starts=st.floats(0.5, 5_000))
def test_line_moves_as_it_did(position: int, starts: float) -> None:
    """By the rate of late the middle lies in the range; the more was seen, the narrower the range."""
    eta, later = (
        eta_in_line(position, Supply(starts=starts)),
        eta_in_line(position, Supply(starts=starts * 16)),
    )
    assert eta is not None
    assert later is not None
    assert eta[0] <= position * 60 / starts <= eta[1]
    assert later[1] <= eta[1]


def test_too_little_is_known() -> None:
    """Where next to nothing was begun of late nobody says when."""
    assert eta_in_line(1, Supply(starts=0.4)) is None
    assert eta_of_newcomer(3, Supply()) is None


def test_newcomer() -> None:
    """In the fair order a newcomer may be the first or the last; in a line he is the last."""
    assert eta_of_newcomer(5, BUSY) == (0, 40)
    assert eta_of_newcomer(3, PLAIN) == eta_in_line(4, PLAIN)


@given(low=st.floats(0, 1e6), more=st.floats(0, 1e6))
def test_rounding(low: float, more: float) -> None:
    """Ranges grow by rounding, never shrink, and by half of their ends or a second at most."""
    least, most = rounded((low, low + more))
    assert 0 <= least <= low
    assert low + more <= most
    assert low - least <= max(1, low / 2)
    assert most - low - more <= max(1, (low + more) / 2)
