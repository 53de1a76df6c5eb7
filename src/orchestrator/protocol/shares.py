"""Which replica does what, by rendezvous hashing over the live ones: to save effort only, anyone may do anything."""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

LISTENERS_MAX: Final = 4
"""An uncoalesced push costs Redis 18 µs without a listener, 38 with four, 72 with sixteen (docs/architecture.md)."""


class Shares(msgspec.Struct, frozen=True):
    """The work of `replica` among the live `replicas`."""

    replica: str
    replicas: tuple[str, ...]

    @property
    def listeners(self) -> list[str]:
        """Who hears the doorbell."""
        return _ranked(self.replicas, "bell")[:LISTENERS_MAX]

    @property
    def listens(self) -> bool:
        """Whether this replica hears the doorbell; alone, or not yet known to others, it does."""
        return self.replica in self.listeners or self.replica not in self.replicas

    def pumps(self, tenant: str) -> bool:
        """Whether this replica takes the tenant's callbacks."""
        listeners = self.listeners
        if self.replica not in self.replicas:
            return True
        return listeners[zlib.crc32(tenant.encode()) % len(listeners)] == self.replica

    def tends(self, part: int) -> bool:
        """Whether this replica looks after this part of the agenda."""
        return (
            self.replica not in self.replicas or _ranked(self.replicas, f"agenda:{part}")[0] == self.replica
        )


def _ranked(replicas: Sequence[str], what: str) -> list[str]:
    return sorted(
        replicas, key=lambda name: hashlib.blake2b(f"{what}|{name}".encode(), digest_size=8).digest()
    )
