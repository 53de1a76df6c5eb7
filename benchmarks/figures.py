"""What a measure found, as the report and the gate read it."""

from typing import Final, Literal

import msgspec

Better = Literal["less", "more"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number, and what it was meant to be."""

    name: str
    """Of all runs the same: `service_us_per_event`."""
    says: str
    """What it is, for a person."""
    value: float
    unit: str
    goal: float | None = None
    better: Better = "less"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is as good as it was meant to be; None where nobody said."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better == "less" else self.value >= self.goal

    def line(self) -> str:
        """It and its goal in a line of a terminal."""
        verdict = {True: "met", False: "missed", None: ""}[self.met]
        goal = "" if self.goal is None else f"{_SIGN[self.better]} {rounded(self.goal)}"
        return f"{self.says:<64}{rounded(self.value):>10} {self.unit:<10}{goal:>10}  {verdict:<7}{self.note}"


_SIGN: Final = {"less": "≤", "more": "≥"}


def goal_of(figure: Figure) -> str:
    """The goal as a page tells it."""
    return "" if figure.goal is None else f"{_SIGN[figure.better]} {rounded(figure.goal)}"


def rounded(value: float) -> str:
    """Three digits that count, thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
