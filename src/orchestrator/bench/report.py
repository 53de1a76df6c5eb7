"""What a load showed: rates, times and endings."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

PERCENTILES: Final = (50, 95, 99)


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted message; moments are seconds of one clock."""

    task_id: str
    sent: float
    answered: float
    """The 202 was there."""
    first_chunk: float | None = None
    ended: float | None = None
    ending: str = ""
    """`completed`, or the code of the error that ended it; "" where none was seen in time."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds, by nearest rank: each was somebody's."""

    count: int
    p50: float
    p95: float
    p99: float
    most: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the messages."""

    messages: int
    seconds: float
    """From the first POST to the last ending."""
    accepted: int
    accepted_per_second: float
    """While messages were sent."""
    endings: dict[str, int]
    refusals: dict[str, int]
    waited: float
    reconnects: dict[str, int]
    without_ending: list[str]
    stopped: str
    """Why no more was sent before all was; "" where all was."""
    to_accepted: Times | None
    to_first_chunk: Times | None
    to_ending: Times | None

    @property
    def whole(self) -> bool:
        """Whether every message was accepted and has an ending."""
        return self.accepted == self.messages and not self.without_ending


def report_of(
    messages: int,
    trips: Sequence[Trip],
    *,
    refusals: dict[str, int],
    waited: float,
    reconnects: dict[str, int],
    stopped: str = "",
) -> Report:
    """The report about the accepted ones out of so many messages."""
    began = min((trip.sent for trip in trips), default=0.0)
    answered = max((trip.answered for trip in trips), default=0.0)
    last = max((trip.ended or trip.answered for trip in trips), default=0.0)
    return Report(
        messages=messages,
        seconds=last - began,
        accepted=len(trips),
        accepted_per_second=len(trips) / (answered - began) if trips else 0.0,
        endings=_tally(trip.ending for trip in trips if trip.ending),
        refusals=refusals,
        waited=waited,
        reconnects=reconnects,
        stopped=stopped,
        without_ending=[trip.task_id for trip in trips if not trip.ending],
        to_accepted=_times(trip.answered - trip.sent for trip in trips),
        to_first_chunk=_times(trip.first_chunk - trip.sent for trip in trips if trip.first_chunk is not None),
        to_ending=_times(trip.ended - trip.sent for trip in trips if trip.ended is not None),
    )


def _times(seconds: Iterable[float]) -> Times | None:
    took = sorted(seconds)
    if not took:
        return None
    p50, p95, p99 = (took[math.ceil(len(took) * percent / 100) - 1] * 1000 for percent in PERCENTILES)
    return Times(count=len(took), p50=p50, p95=p95, p99=p99, most=took[-1] * 1000)


def _tally(endings: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for ending in endings:
        found[ending] = found.get(ending, 0) + 1
    return found
