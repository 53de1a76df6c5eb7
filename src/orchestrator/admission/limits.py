"""The limits of a send, and how an answer tells where they stand (contract §7)."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from orchestrator.admission.limit_rules import overlaid
from orchestrator.broker.admissions import AdmitReply
from orchestrator.protocol.tiers import Tier, TierLimits

OUTSTANDING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Per tenant, beside `max_outstanding`: 5 000 tasks of 256 KiB would be 1.3 GB."""


class SendLimits(msgspec.Struct, frozen=True):
    """What holds for one send."""

    per_session_and_hour: int
    of_tier: TierLimits


class Limits:
    """The limits of this deployment; those of the tiers may change while it runs."""

    def __init__(self, per_session_and_hour: int, by_tier: Mapping[Tier, TierLimits]) -> None:
        self._per_session = per_session_and_hour
        self._configured = by_tier
        self._by_tier = by_tier

    def of(self, tier: Tier) -> SendLimits:
        """The limits of a send by a tenant of this tier."""
        return SendLimits(self._per_session, self._by_tier[tier])

    def of_tier(self, tier: Tier) -> TierLimits:
        """What a tenant of this tier may, unless it has limits of its own."""
        return self._by_tier[tier]

    def lay_over(self, changes: Mapping[Tier, Mapping[str, int]]) -> None:
        """Change what these name; the rest is as it was configured."""
        self._by_tier = overlaid(self._configured, changes)


def limit_headers(reply: AdmitReply) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-11 spells them."""
    policies: list[str] = []
    states: list[str] = []
    for name, state, window in (("session", reply.s, 3600), ("tenant", reply.t, 60)):
        if state is not None:
            policies.append(f'"{name}";q={state.limit};w={window}')
            states.append(f'"{name}";r={state.left};t={state.reset_seconds}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)} if states else {}


def whole_seconds(seconds: float) -> int:
    """`Retry-After` in seconds, at least one."""
    return max(1, math.ceil(seconds))
