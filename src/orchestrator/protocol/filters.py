"""Which event types a reader wants: `subscribe` and `unsubscribe` with patterns like `agent_*`."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from orchestrator.protocol.events import EVENT_TYPES, EventType


def matching(patterns: Sequence[str]) -> frozenset[EventType] | None:
    """The event types that the patterns name; None where one of them names none."""
    found: set[EventType] = set()
    for pattern in patterns:
        types: list[EventType] = [kind for kind in EVENT_TYPES if fnmatchcase(kind, pattern)]
        if not types:
            return None
        found.update(types)
    return frozenset(found)


def listed(types: Iterable[EventType]) -> list[EventType]:
    """In the contract's order."""
    wanted = frozenset(types)
    return [kind for kind in EVENT_TYPES if kind in wanted]
