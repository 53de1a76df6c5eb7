"""What share of the agents each tenant has: its weight, and how many of its tasks may run at once."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from orchestrator.protocol.tiers import Tier, TierLimits

TENANTS_MAX: Final = 10_000


class Share(msgspec.Struct, frozen=True):
    """A tenant's weight, and its cap (0: none). Not `sure`: it is its tier's, the tenant may have its own."""

    weight: int
    cap: int
    sure: bool = True


class TenantShares:
    """The tier's, unless the tenant has its own; those are told with each admission."""

    def __init__(self, of_tier: Callable[[Tier], TierLimits], *, own_limits: bool) -> None:
        self._of_tier = of_tier
        self._own_limits = own_limits
        self._own: OrderedDict[str, Mapping[str, int]] = OrderedDict()

    def note(self, tenant: str, own: Mapping[str, int]) -> None:
        """The tenant's own limits are these."""
        self._own[tenant] = own
        self._own.move_to_end(tenant)
        if len(self._own) > TENANTS_MAX:
            self._own.popitem(last=False)

    def forget(self, tenant: str) -> None:
        """They may have changed."""
        self._own.pop(tenant, None)

    def cap(self, tenant: str, tier: Tier) -> int | None:
        """The cap of its share; None where that is not sure."""
        own = self._own.get(tenant)
        if own is None and self._own_limits:
            return None
        cap = own.get("max_running") if own else None
        return self._of_tier(tier).max_running if cap is None else cap

    def of(self, tenant: str, tier: Tier) -> Share:
        """The share of a tenant of this tier, as far as it is known here."""
        own, limits = self._own.get(tenant), self._of_tier(tier)
        sure = own is not None or not self._own_limits
        own = own or {}
        return Share(own.get("weight", limits.weight), own.get("max_running", limits.max_running), sure)
