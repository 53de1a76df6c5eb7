"""How many connections one address may have that ask nothing yet: each costs as much as one that does."""

import ipaddress
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Final

from orchestrator.metrics import Counter, Metrics
from orchestrator.telemetry import Log, LogEvent

PENDING_MAX: Final = 100
"""Far more than a browser opens (6), or a machine full of them within the time of a round trip."""

TELL_SECONDS: Final = 10.0
"""At most one line so often, however many are refused."""


class PendingConnections:
    """Counts, by group of addresses, the connections that have not brought a complete request head, or no further one.

    One for all connections of a process. It keeps a number for each group that has some, so its size follows theirs.
    """

    def __init__(
        self,
        trusted: Iterable[str],
        metrics: Metrics,
        log: Log,
        *,
        most: int = PENDING_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trusted = [ipaddress.ip_network(network) for network in trusted]
        self._metrics = metrics
        self._log = log
        self._most = most
        self._clock = clock
        self._by_group: Tally[str] = Tally()
        self._untold = 0
        self._told_at = -TELL_SECONDS

    def group_of(self, address: str | None) -> str | None:
        """Whose connections are counted together with this address's; None where nobody counts.

        Everybody comes from a trusted proxy, and whoever is on a Unix socket has no address.
        """
        known = _parsed(address or "")
        if known is None or any(known in network for network in self._trusted):
            return None
        return _group(known)

    def enter(self, group: str) -> bool:
        """Count one more; False, and counted as refused, where the group has as many as it may."""
        if self._by_group[group] >= self._most:
            self._refuse(group)
            return False
        self._by_group[group] += 1
        return True

    def stay(self, group: str) -> bool:
        """Count one that was answered and asks nothing more; False where the group has half as many as it may.

        The other half is for newcomers: many people share an address, and one's idle browser must not keep another out.
        """
        if self._by_group[group] >= self._most // 2:
            return False
        self._by_group[group] += 1
        return True

    def leave(self, group: str) -> None:
        """One of them has brought a head, or has gone."""
        self._by_group[group] -= 1
        if not self._by_group[group]:
            del self._by_group[group]

    def __len__(self) -> int:
        """How many groups have any."""
        return len(self._by_group)

    def _refuse(self, group: str) -> None:
        self._metrics.count(Counter.CONNECTIONS_REFUSED)
        self._untold += 1
        now = self._clock()
        if now - self._told_at >= TELL_SECONDS:
            self._log.warning(LogEvent.CONNECTIONS_REFUSED, address=group, count=self._untold)
            self._untold, self._told_at = 0, now


def address_group(address: str) -> str:
    """Whose connections are counted together with this address's; what is no address is a group of its own."""
    known = _parsed(address)
    return address if known is None else _group(known)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(known, "ipv4_mapped", None) or known


def _group(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address, or its /64 in IPv6: whoever has one of those has all of them."""
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
