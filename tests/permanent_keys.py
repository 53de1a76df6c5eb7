"""Keys that may live without a TTL. Everything else in Redis has to end by itself."""

import fnmatch
from collections.abc import Iterator
from typing import Any, Final

from orchestrator.broker.keys import PERMANENT

_NO_EXPIRY: Final = -1


def keys_without_end(client: Any) -> Iterator[str]:
    """Every key that would stay for ever and is not on the list of those that may."""
    for key in client.scan_iter(count=1000):
        if client.ttl(key) == _NO_EXPIRY and not any(fnmatch.fnmatchcase(key, p) for p in PERMANENT):
            yield key
