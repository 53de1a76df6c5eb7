"""Revocations in memory: what was issued before is void, what comes after is good (contract §6)."""

import pytest

from orchestrator.auth.revocations import Revocations


@pytest.mark.parametrize(
    ("issued", "void"),
    [(99.0, True), (100.0, True), (100.5, True), (100.6, False), (101.0, False), (None, True)],
)
def test_by_the_moment_of_issue(issued: float | None, void: bool) -> None:
    """Tokens issued until the moment are void; so is one that does not say when it was issued."""
    revocations = Revocations()
    revocations.note("acme", "ann", 100.5)
    assert revocations.covers("acme", "ann", issued) is void


def test_only_this_subject() -> None:
    """Neither another user of the tenant nor the same name at another tenant is meant."""
    revocations = Revocations()
    revocations.note("acme", "ann", 100.0)
    assert not revocations.covers("acme", "bob", 1.0)
    assert not revocations.covers("other", "ann", 1.0)
    assert not revocations.covers("", "ann", 1.0)


def test_the_latest_counts() -> None:
    """An older announcement that comes late takes nothing back, and is no news."""
    revocations = Revocations()
    assert revocations.note("acme", "ann", 100.0)
    assert not revocations.note("acme", "ann", 90.0)
    assert not revocations.note("acme", "ann", 100.0)
    assert revocations.covers("acme", "ann", 100.0)
