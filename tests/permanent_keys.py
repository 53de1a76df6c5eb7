"""Keys that may live without a TTL. Everything else in Redis has to end by itself."""

import fnmatch
from collections.abc import Iterator
from typing import Any, Final

from orchestrator.broker.keys import PERMANENT

_NO_EXPIRY: Final = -1


def keys_without_end(client: Any) -> Iterator[str]:
    """Every key that would stay for ever and is not on the list of those that may."""
    keys = list(client.scan_iter(count=1000))
    asking = client.pipeline(transaction=False)
    for key in keys:
        asking.ttl(key)
    for key, ttl in zip(keys, asking.execute(), strict=True):
        name = key.decode() if isinstance(key, bytes) else key
        if ttl == _NO_EXPIRY and not any(fnmatch.fnmatchcase(name, p) for p in PERMANENT):
            yield name
