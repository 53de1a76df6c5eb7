"""How many connections one address may have that ask nothing yet: each costs as much as one that does."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Final

from orchestrator.api.addresses import TrustedProxies, group_of, parsed
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
        self._trusted = TrustedProxies(trusted)
        self._metrics = metrics
        self._log = log
        self._most = most
        self._clock = clock
        self._by_group: Tally[str] = Tally()
        # Whom the last one came from, and its group: behind a proxy it is always the same.
        self._last: tuple[str | None, str | None] = (None, None)
        self._untold = 0
        self._told_at = -TELL_SECONDS

    def group_of(self, address: str | None) -> str | None:
        """Whose connections are counted together with this address's; None where nobody counts.

        Everybody comes from a trusted proxy, and whoever is on a Unix socket has no address.
        """
        if address != self._last[0]:
            known = None if address is None else parsed(address)
            group = None if known is None or known in self._trusted else group_of(known)
            self._last = address, group
        return self._last[1]

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
