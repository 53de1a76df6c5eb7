"""Why a task waits, how many come first, and when an agent will begin: said only where something honest can be said.

Two kinds of agents serve queues. Workers of the SDK take tasks in the fair order of the dispatch, and how many of them
live, how many slots they have and how long their runs take is known. Of any other agent only that is known which its
reports tell: when tasks of a queue were begun of late.
"""

import math
from typing import Final

import msgspec

PACE_SECONDS: Final = 60.0
"""A start counts for e^(-age / this) in what a queue is known for (supply.lua has the same number)."""
PATIENCE_SECONDS: Final = 5.0
"""Nobody says of a task that it has no worker before it has waited that long: most are begun at once."""
SILENCE_SECONDS: Final = 60.0
"""An agent of which nothing was heard for so long may not be there."""
LOOKED_AT_MAX: Final = 200
"""Of so many tenants the dispatch looks who comes first (explain.lua), and so far Redis looks along a queue."""

_LEAST_STARTS: Final = 0.5
_SHORT_WAIT_SECONDS: Final = 60
_LONG_WAIT_SECONDS: Final = 600

Range = tuple[float, float]


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the agents of a queue."""

    workers: int = 0
    """Live workers of the SDK that serve its context, and their slots; `idle`: one of them has a slot left."""
    slots: int = 0
    idle: bool = False
    run_seconds: float | None = None
    """What a run of the context takes, and by how much runs differ from that."""
    deviation: float = 0.0
    starts: float = 0.0
    """How many tasks of the queue were begun of late, see `PACE_SECONDS`."""
    silence_seconds: float | None = None
    """Since a task of the context was begun last; None: none within a day."""
    context_running: int = 0
    running: int = 0
    """Tasks that agents have, of the context and of this queue alone."""
    waiting: int = 0
    """Attempts of the queue that wait in the dispatch."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an attempt stands in the fair order of its context."""

    own: int
    """Of its own tenant so many come first, `ahead` of all tenants."""
    ahead: int
    beside: int | None = None
    """Of other contexts that the same workers may serve so many may come first; None: more than were looked at."""
    more: bool = False
    """There are more than were looked at: `ahead` is the least that comes first."""
    running: int = 0
    """Runs of the tenant under its cap (0: it has none)."""
    cap: int = 0
    capped_contexts: int = 0
    """In so many contexts the tenant is held back."""


class Waiter(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has not begun, as its record and its queue tell."""

    context: str
    waited_seconds: float
    held: bool = False
    """It waits for an earlier message of its session."""
    due_seconds: float = 0.0
    """Until its next attempt may be pushed."""
    listed: int | None = None
    """So many lie before it on its queue; None: it is not there."""
    listed_more: bool = False
    """It lies further back than was looked."""


class Explanation(msgspec.Struct, frozen=True):
    """What a client is told of a task that waits; nothing of it is promised."""

    queue_position: int | None = None
    eta_seconds: tuple[int, int] | None = None
    waiting_for: str | None = None


NOTHING: Final = Explanation()
EARLIER_MESSAGE: Final = "an earlier message of this session"


def explain(waiter: Waiter, place: Place | None, supply: Supply) -> Explanation:
    """What to tell of a waiting task; `place` is None where the dispatch does not have it."""
    if waiter.held:
        return Explanation(waiting_for=EARLIER_MESSAGE)
    if waiter.due_seconds > 0:
        return Explanation(waiting_for=f"the next attempt in {_up(waiter.due_seconds)} s")
    if place is not None and supply.workers:
        return _in_turn(place, supply)
    return _in_line(waiter, supply)


def _in_turn(place: Place, supply: Supply) -> Explanation:
    """Workers of the SDK take it when its turn comes."""
    eta = eta_in_turn(place, supply)
    if place.more:
        return Explanation(waiting_for=f"more than {place.ahead} ahead" if place.ahead else "a free worker")
    position = place.ahead + 1
    if 0 < place.cap <= place.running:
        return Explanation(position, eta, f"tenant concurrency {place.running}/{place.cap}")
    if place.ahead:
        return Explanation(position, eta, f"{place.ahead} ahead")
    return Explanation(position, eta, None if supply.idle else "a free worker")


def _in_line(waiter: Waiter, supply: Supply) -> Explanation:
    """Some agent takes it from its queue, the oldest first."""
    if waiter.listed is None and not waiter.listed_more:
        return NOTHING  # an agent has taken it and has not said so yet
    position = None if waiter.listed is None else waiter.listed + 1
    if waiter.waited_seconds >= PATIENCE_SECONDS and is_deserted(supply):
        return Explanation(position, None, _no_worker(waiter.context))
    if waiter.listed is None or position is None:
        return Explanation(waiting_for=f"more than {LOOKED_AT_MAX} ahead")
    return Explanation(
        position, eta_in_line(position, supply), f"{waiter.listed} ahead" if waiter.listed else None
    )


def is_deserted(supply: Supply) -> bool:
    """Whether no agent is known that would begin a task: no worker lives, nothing runs, nothing was begun of late."""
    silent = supply.silence_seconds is None or supply.silence_seconds > SILENCE_SECONDS
    return not supply.workers and not supply.context_running and silent


def why_it_stands(context: str, depth: int, oldest_age_seconds: float | None, supply: Supply) -> str | None:
    """Why nobody takes from a queue, where that is so; its age is unknown where its elements bear no time."""
    old = oldest_age_seconds is None or oldest_age_seconds >= PATIENCE_SECONDS
    return _no_worker(context) if depth and old and is_deserted(supply) else None


def _no_worker(context: str) -> str:
    return f"no worker for {context}"


def eta_in_turn(place: Place, supply: Supply) -> tuple[int, int] | None:
    """Seconds until the task of this place is begun, at least and at most; None where nobody can say.

    Of other contexts' tasks it is not known which of the workers take them: they count for the most alone. What a
    tenant that is held back in several contexts begins next is nobody's guess.
    """
    owed = place.own + 1 - (place.cap - place.running) if place.cap else 0
    if place.more or place.beside is None or (owed > 0 and place.capped_contexts > 1):
        return None
    if supply.idle and not place.ahead and owed <= 0:
        return (0, 1)
    if supply.run_seconds is None or not supply.slots:
        return None
    low, _ = _nth_end(place.ahead + 1, supply.slots, supply.run_seconds, supply.deviation)
    _, high = _nth_end(place.ahead + place.beside + 1, supply.slots, supply.run_seconds, supply.deviation)
    if owed > 0:
        own = _nth_end(owed, place.cap, supply.run_seconds, supply.deviation)
        low, high = max(low, own[0]), max(high, own[1])
    return rounded((low, high))


def _nth_end(n: int, slots: int, seconds: float, deviation: float) -> Range:
    """When the nth of the runs ends that `slots` busy slots do one after the other.

    Each run takes between `seconds` less and more two deviations, and it is not known since when those under way
    run: they may have just begun, all together, or be about to end.
    """
    shortest, longest = max(0.0, seconds - 2 * deviation), seconds + 2 * deviation
    return ((n - 1) // slots) * shortest, math.ceil(n / slots) * longest


def eta_in_line(position: int, supply: Supply) -> tuple[int, int] | None:
    """Seconds until the task at this place is begun, by how many were begun of late; None where too few were.

    Starts come as by chance, so both what was seen and what will come are within two standard deviations.
    """
    if supply.starts < _LEAST_STARTS:
        return None
    doubt = 1 + 2 / math.sqrt(supply.starts)
    per_second = supply.starts / PACE_SECONDS
    spread = 2 * math.sqrt(position)
    return rounded(
        (max(0.0, position - spread) / (per_second * doubt), (position + spread) * doubt / per_second)
    )


def eta_of_newcomer(depth: int, supply: Supply) -> tuple[int, int] | None:
    """The same for a task that would come now, behind `depth` others: in the fair order it may come before them."""
    if not supply.workers:
        return eta_in_line(depth + 1, supply)
    return eta_in_turn(Place(own=0, ahead=0, beside=depth), supply)


def rounded(eta: Range) -> tuple[int, int]:
    """Outwards to whole seconds, to 5 s above ten of them, 10 s above a minute, minutes above ten: a range that is
    told again and again must not flicker.
    """
    low, high = eta
    return math.floor(low / _step(low)) * _step(low), _up(high)


def _up(seconds: float) -> int:
    return max(1, math.ceil(seconds / _step(seconds)) * _step(seconds))


def _step(seconds: float) -> int:
    if seconds <= 10:
        return 1
    if seconds <= _SHORT_WAIT_SECONDS:
        return 5
    return 10 if seconds <= _LONG_WAIT_SECONDS else 60
