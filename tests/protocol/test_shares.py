"""Which replica does what (docs/architecture.md)."""

from orchestrator.protocol.shares import Shares


def test_one_replica_dispatches() -> None:
    """Of all live replicas exactly one looks after leases that are over; alone, each is that one."""
    names = [f"r{number}" for number in range(7)]
    assert sum(Shares(name, names, 16).dispatches for name in names) == 1
    assert all(Shares(name, [name], 16).dispatches for name in names)


def test_the_others_take_over() -> None:
    """Where the replica that dispatches is gone, another one does."""
    names = [f"r{number}" for number in range(7)]
    (first,) = (name for name in names if Shares(name, names, 16).dispatches)
    names.remove(first)
    assert sum(Shares(name, names, 16).dispatches for name in names) == 1
