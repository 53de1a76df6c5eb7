"""Which replica does what, by rendezvous hashing over the live ones: to save effort only, anyone may do anything."""

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

LISTENERS_MAX: Final = 4
"""An uncoalesced push costs Redis 18 µs without a listener, 38 with four, 72 with sixteen (docs/architecture.md)."""


class Shares(msgspec.Struct, frozen=True):
    """The work of one replica; `share_out` makes it."""

    replica: str
    replicas: tuple[str, ...]
    listeners: tuple[str, ...]
    """Who hears the doorbell."""
    parts: tuple[int, ...]
    """The parts of the agenda that this replica looks after."""
    dispatches: bool
    """Whether this replica looks after runs whose workers are gone."""

    @property
    def listens(self) -> bool:
        """Whether this replica hears the doorbell."""
        return self.replica in self.listeners

    def pumps(self, tenant: str) -> bool:
        """Whether this replica takes the tenant's callbacks."""
        return self.listeners[zlib.crc32(tenant.encode()) % len(self.listeners)] == self.replica


def share_out(replica: str, live: Iterable[str], parts: int) -> Shares:
    """The work of `replica` among the `live` ones; one that is not known to be alive does everything itself."""
    replicas = tuple(sorted(live))
    if replica not in replicas:
        replicas = (replica,)
    listeners = tuple(_ranked(replicas, "bell")[:LISTENERS_MAX])
    own = tuple(part for part in range(parts) if _ranked(replicas, f"agenda:{part}")[0] == replica)
    dispatches = _ranked(replicas, "dispatch")[0] == replica
    return Shares(replica, replicas, listeners, own, dispatches)


def _ranked(replicas: Sequence[str], what: str) -> list[str]:
    return sorted(
        replicas, key=lambda name: hashlib.blake2b(f"{what}|{name}".encode(), digest_size=8).digest()
    )
