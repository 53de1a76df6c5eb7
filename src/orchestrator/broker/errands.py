"""What a tenant's scripts leave to be done on the queues of agents, which lie in other slots."""

from collections.abc import Sequence

import msgspec


class Errand(msgspec.Struct, frozen=True, array_like=True):
    """An attempt to push, or with `withdraw` one to take off its queue."""

    task: str
    attempt: int
    queue: str
    marker_ms: int
    """How long the marker of the attempt has to live."""
    withdraw: bool
    deadline: int
    """Of the task, µs."""


Errands = Sequence[tuple[Errand, bytes]]
"""Errands, each with the task as it was pushed for the first time (empty for a withdrawal)."""
