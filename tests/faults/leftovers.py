"""What is still in Redis when everything is over: nothing may be, but what ends by itself or is meant to stay."""

from collections.abc import Iterator
from typing import Any, Final

import redis
from tests.permanent_keys import keys_without_end

_EMPTY: Final = (
    "execution:*",
    "orchestrator:*:callbacks",
    "*}:outstanding",
    "*}:unpushed",
    "*}:leases",
    "*}:held",
    "{dispatch}:leases:*",
    "{dispatch}:run:*",
    "{dispatch}:ready:*",
)
"""Lists and sorted sets that are gone once every task has ended (docs/redis-keys.md)."""


def leftovers(port: int) -> list[str]:
    """One line for each key that should not be there."""
    client: Any = redis.Redis(port=port, decode_responses=True, socket_timeout=5)
    with client:
        return sorted(_found(client))


def _found(client: Any) -> Iterator[str]:
    for pattern in _EMPTY:
        for key in client.scan_iter(match=pattern, count=1000):
            size = client.llen(key) if client.type(key) == "list" else client.zcard(key)
            if size:
                yield f"{key}: {size}"
    for key in keys_without_end(client):
        yield f"{key}: without an end"
