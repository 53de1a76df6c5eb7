"""Which replica does what, by rendezvous hashing over the live ones: to save effort only, anyone may do anything."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

LISTENERS_MAX: Final = 4
"""At one server: an uncoalesced push costs Redis 18 µs without a listener, 38 with four, 72 with sixteen
(docs/architecture.md)."""


class Shares:
    """The work of one replica among the live ones; one that is not known to be alive does everything itself.

    A server is named by the first slot that it serves, as every replica sees it; a single one is 0.
    """

    def __init__(self, replica: str, live: Iterable[str], parts: int) -> None:
        replicas = tuple(sorted(live))
        self.replica: Final = replica
        self.replicas: Final = replicas if replica in replicas else (replica,)
        self.parts: Final = tuple(part for part in range(parts) if self._is_first(f"agenda:{part}"))
        """The parts of the agenda that this replica looks after."""
        self.dispatches: Final = self._is_first("dispatch")
        """Whether this replica looks after runs whose workers are gone."""
        self._listeners: dict[int, Sequence[str]] = {}

    def listens(self, server: int) -> bool:
        """Whether this replica hears the doorbell of a server."""
        return self.replica in self._listeners_at(server)

    def pumps(self, tenant: str, server: int) -> bool:
        """Whether this replica takes the callbacks of a tenant, which that server has."""
        listeners = self._listeners_at(server)
        return listeners[zlib.crc32(tenant.encode()) % len(listeners)] == self.replica

    def _listeners_at(self, server: int) -> Sequence[str]:
        if server not in self._listeners:
            self._listeners[server] = sorted(self.replicas, key=_rank(f"bell:{server}"))[:LISTENERS_MAX]
        return self._listeners[server]

    def _is_first(self, what: str) -> bool:
        return min(self.replicas, key=_rank(what)) == self.replica


def _rank(what: str) -> Callable[[str], bytes]:
    return lambda name: hashlib.blake2b(f"{what}|{name}".encode(), digest_size=8).digest()
