"""Limits of tenants and tiers: what may be set, and which of several holds."""

from typing import Any

import pytest

from orchestrator.admission.limit_rules import limit_fault, overlaid
from orchestrator.protocol.tiers import DEFAULT_LIMITS, LIMIT_MAX, LIMIT_NAMES


@pytest.mark.parametrize("name", LIMIT_NAMES)
@pytest.mark.parametrize("value", [1, 60, LIMIT_MAX, None])
def test_what_may_be_set(name: str, value: int | None) -> None:
    """Every limit may be a whole number from 1 that fits 31 bits, or be taken back."""
    assert limit_fault(name, value) is None


@pytest.mark.parametrize("value", [0, -1, LIMIT_MAX + 1, 1.0, True, "5", float("nan"), []])
def test_what_may_not(value: Any) -> None:
    """Anything else is named with what is allowed."""
    assert limit_fault("weight", value) == f"weight: {value!r} is not a whole number from 1 to {LIMIT_MAX}"


def test_a_name_that_is_none() -> None:
    """A mistyped name is told all that there are."""
    fault = limit_fault("wait", 5)

    assert fault is not None
    assert all(name in fault for name in ("'wait'", *LIMIT_NAMES))


def test_the_store_goes_before_the_environment() -> None:
    """What was changed holds, the rest stays; a name that only a later version knows changes nothing."""
    held = overlaid(DEFAULT_LIMITS, {"free": {"weight": 9, "from_the_future": 1}})

    assert held["free"].weight == 9
    assert held["free"].max_outstanding == DEFAULT_LIMITS["free"].max_outstanding
    assert held["advance"] == DEFAULT_LIMITS["advance"]
