"""Who counts together among those that connect and ask nothing, and how that is told."""

import io
import json

import pytest

from orchestrator.api.pending_connections import PendingConnections
from orchestrator.metrics import Counter, Metrics, by_label
from orchestrator.telemetry import configure_logging


class Door:
    """One with a clock that the test moves."""

    def __init__(self, most: int, trusted: tuple[str, ...] = ()) -> None:
        self.metrics, self.lines, self.now = Metrics(), io.StringIO(), 1_000.0
        log = configure_logging("INFO", "json", stream=self.lines)
        self.pending = PendingConnections(trusted, self.metrics, log, most=most, clock=lambda: self.now)

    def comes(self, address: str) -> bool:
        """Whether one more of this address is let in."""
        group = self.pending.group_of(address)
        return group is None or self.pending.enter(group)

    @property
    def refused(self) -> int:
        """What the metric stands at."""
        return by_label(self.metrics.snapshot(), Counter.CONNECTIONS_REFUSED)[""]

    @property
    def told(self) -> list[tuple[str, str, int]]:
        """Event, address and count of each line."""
        lines = map(json.loads, self.lines.getvalue().splitlines())
        return [(line["event"], line["address"], line["count"]) for line in lines]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_who_counts_together(one: str, other: str, *, together: bool) -> None:
    """One address of IPv4, a /64 of IPv6: whoever has one of those has all of them."""
    door = Door(most=1)
    assert door.comes(one)
    assert door.comes(other) is not together


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::9", ""])
def test_who_does_not_count(address: str) -> None:
    """Everybody comes from a trusted proxy; whoever is on a Unix socket has no address."""
    door = Door(most=1, trusted=("10.0.0.0/8", "2001:db8::/64"))
    assert all(door.comes(address) for _ in range(3))
    assert len(door.pending) == 0


def test_places_are_given_back() -> None:
    """Who leaves makes room for one of the same group, and nothing is kept of a group that has none."""
    door = Door(most=2)
    assert [door.comes("192.0.2.1") for _ in range(3)] == [True, True, False]
    door.pending.leave("192.0.2.1")
    assert [door.comes("192.0.2.1") for _ in range(2)] == [True, False]
    for _ in range(2):
        door.pending.leave("192.0.2.1")
    assert len(door.pending) == 0
    assert door.refused == 2


def test_who_stays_leaves_room_for_who_comes() -> None:
    """Those who were answered have half of the places, and nobody is told of those who do not get one."""
    door = Door(most=4)
    assert [door.pending.stay("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [door.comes("192.0.2.1") for _ in range(2)] == [True, True]
    assert (door.refused, door.told) == (0, [])


def test_a_flood_is_told_in_few_lines() -> None:
    """Each refusal is counted; a line comes at once, then at most one in ten seconds, with how many there were."""
    door = Door(most=1)
    for _ in range(5):
        door.comes("192.0.2.1")
        door.now += 1
    door.now += 10
    door.comes("192.0.2.1")
    named = "connections_refused", "192.0.2.1"
    assert door.told == [(*named, 1), (*named, 4)]
    assert door.refused == 5
