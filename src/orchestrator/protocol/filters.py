"""Which event types a reader wants: `subscribe` and `unsubscribe` with patterns like `agent_*`."""

from collections.abc import Iterable, Sequence

from orchestrator.protocol.events import EVENT_TYPES, EventType


def matching(patterns: Sequence[str]) -> frozenset[EventType] | None:
    """The event types that the patterns name; None where one of them names none."""
    found: set[EventType] = set()
    for pattern in patterns:
        types: list[EventType] = [kind for kind in EVENT_TYPES if _fits(kind, pattern)]
        if not types:
            return None
        found.update(types)
    return frozenset(found)


def _fits(name: str, pattern: str) -> bool:
    """Whether `name` is as `pattern`, in which `*` stands for anything.

    Not `fnmatch`: that keeps what it compiled of every pattern, and clients may send as many as they like.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return name == head
    at = len(head) if name.startswith(head) else -1
    for part in rest[:-1]:
        if at < 0:
            return False
        found = name.find(part, at)
        at = found + len(part) if found >= 0 else -1
    return at >= 0 and name.endswith(rest[-1]) and at + len(rest[-1]) <= len(name)


def listed(types: Iterable[EventType]) -> list[EventType]:
    """In the contract's order."""
    wanted = frozenset(types)
    return [kind for kind in EVENT_TYPES if kind in wanted]
