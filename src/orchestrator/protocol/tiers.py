"""The four tiers and the limits that each carries (contract §7)."""

from collections.abc import Mapping
from typing import Final, Literal, TypeGuard, get_args

import msgspec

Tier = Literal["free", "advance", "professional", "enterprise"]

TIERS: Final[tuple[Tier, ...]] = get_args(Tier)


class TierLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one tenant of a tier may use; every figure is per tenant unless it says otherwise."""

    requests_per_minute: int
    max_outstanding: int
    max_connections: int
    messages_per_second: int
    """Per WebSocket; the burst is two seconds' worth."""
    weight: int
    """Share in fair dispatch, relative to the other tiers."""
    max_running: int = 0
    """Tasks that may run at once, on workers of the SDK; 0: no cap."""

    @property
    def burst(self) -> int:
        """Requests that may come at once: a tenth of a minute's, at least 5."""
        return max(5, self.requests_per_minute // 10)


LIMIT_NAMES: Final = TierLimits.__struct_fields__
LIMIT_MAX: Final = 2**31 - 1


def may_be_limit(value: object) -> TypeGuard[int]:
    """Whether this may be given as one of `TierLimits`: a whole number from 1 to LIMIT_MAX."""
    return type(value) is int and 1 <= value <= LIMIT_MAX


_TABLE: Final[tuple[tuple[Tier, int, int, int, int], ...]] = (
    ("free", 60, 20, 5, 1),
    ("advance", 300, 100, 10, 2),
    ("professional", 1_200, 500, 20, 4),
    ("enterprise", 6_000, 5_000, 50, 8),
)

DEFAULT_LIMITS: Final[Mapping[Tier, TierLimits]] = {
    tier: TierLimits(
        requests_per_minute=rpm,
        max_outstanding=outstanding,
        max_connections=outstanding,
        messages_per_second=frames,
        weight=weight,
    )
    for tier, rpm, outstanding, frames, weight in _TABLE
}
