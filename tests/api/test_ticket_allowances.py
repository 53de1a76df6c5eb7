"""How many tickets one user may have of a process."""

import pytest

from orchestrator.api.tickets import SUBJECTS_MAX, TICKETS_AT_ONCE, TICKETS_PER_SECOND, Allowances
from orchestrator.errors import Problem

ADA = ("acme", "ada")


def emptied() -> Allowances:
    """Ada has taken all that she may at once, at the time 0."""
    allowances = Allowances()
    for _ in range(TICKETS_AT_ONCE):
        allowances.take(ADA, 0)
    return allowances


def refused(allowances: Allowances, now: float) -> float | None:
    """How long Ada has to wait; fails where she is let in."""
    with pytest.raises(Problem) as caught:
        allowances.take(ADA, now)
    assert caught.value.code == "rate_limited"
    return caught.value.retry_after


def test_one_too_many() -> None:
    """Beyond what is allowed at once it is 429, and says how long; waiting that long helps, and for one only."""
    allowances = emptied()
    assert refused(allowances, 0) == 1 / TICKETS_PER_SECOND
    allowances.take(ADA, 1 / TICKETS_PER_SECOND)
    refused(allowances, 1 / TICKETS_PER_SECOND)


def test_asking_in_vain_costs_nothing() -> None:
    """Who is refused again and again gets one as soon as anybody would."""
    allowances = emptied()
    for _ in range(1_000):
        refused(allowances, 0)
    allowances.take(ADA, 1 / TICKETS_PER_SECOND)


@pytest.mark.parametrize("other", [("acme", "eve"), ("globex", "ada")])
def test_everybody_has_their_own(other: tuple[str, str]) -> None:
    """Neither another user of the tenant nor the same name elsewhere is kept out."""
    emptied().take(other, 0)


def test_memory_is_bounded() -> None:
    """Of very many subjects those are forgotten that have not asked for longest; who asks on is kept."""
    allowances = emptied()
    for number in range(SUBJECTS_MAX + 100):
        allowances.take(("acme", f"user-{number}"), 0)
        if number % 1_000 == 0:
            refused(allowances, 0)
    assert len(allowances) == SUBJECTS_MAX
    refused(allowances, 0)
