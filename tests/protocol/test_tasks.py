"""The life of a task as a table (contract §5)."""

from orchestrator.protocol.tasks import DEFAULT_CODES, DEFAULT_MESSAGES, ENDINGS, OPEN, TRANSITIONS, Status


def test_every_status_has_a_row() -> None:
    """The table knows each status of the contract, and no other."""
    assert set(TRANSITIONS) == {*OPEN, *ENDINGS}
    assert {status for row in TRANSITIONS.values() for status in row} <= set(TRANSITIONS)


def test_endings_are_final() -> None:
    """Nothing follows an ending, and each open status can end in any way."""
    for status in ENDINGS:
        assert not TRANSITIONS[status]
    for status in OPEN:
        assert set(ENDINGS) <= TRANSITIONS[status]


def test_every_status_is_reached() -> None:
    """From `accepted` every other status can be reached, and none comes back to it."""
    reached: set[Status] = {"accepted"}
    while True:
        further = frozenset[Status]().union(*(TRANSITIONS[status] for status in reached)) - reached
        if not further:
            break
        reached |= further
    assert reached == set(TRANSITIONS)
    assert all("accepted" not in row for row in TRANSITIONS.values())


def test_codes_of_endings() -> None:
    """Each ending that is no answer has a code, and each code a sentence."""
    assert set(DEFAULT_CODES) == set(ENDINGS) - {"completed"}
    assert set(DEFAULT_CODES.values()) <= set(DEFAULT_MESSAGES)
    assert set(DEFAULT_MESSAGES) == {
        "agent_failed", "deadline", "cancelled", "superseded", "result_too_large", "merged", "too_many_attempts",
        "suspended",
    }  # fmt: skip
