"""What a limit of a tenant or a tier may be, and which holds where several are given (contract §7)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.errors import OrchestratorError
from orchestrator.protocol.tiers import LIMIT_MAX, LIMIT_NAMES, Tier, TierLimits, may_be_limit


class BadLimit(OrchestratorError):
    """A limit that cannot be; its text names it and says what may be."""


def limit_fault(name: str, value: object) -> str | None:
    """Why this may not be set, or None where it may. A value of None takes the limit back."""
    if name not in LIMIT_NAMES:
        return f"{name!r} is no limit: there are {', '.join(LIMIT_NAMES)}"
    if value is None or may_be_limit(value):
        return None
    return f"{name}: {value!r} is not a whole number from 1 to {LIMIT_MAX}"


def check_limits(limits: Mapping[str, Any]) -> None:
    """Raise `BadLimit` for the first that may not be set."""
    for name, value in limits.items():
        if fault := limit_fault(name, value):
            raise BadLimit(fault)


def overlaid(
    limits: Mapping[Tier, TierLimits], changed: Mapping[Tier, Mapping[str, int]]
) -> dict[Tier, TierLimits]:
    """The environment's limits with the store's over them; a name of a later version is left out."""
    return {tier: _over(of_tier, changed.get(tier, {})) for tier, of_tier in limits.items()}


def _over(limits: TierLimits, changed: Mapping[str, int]) -> TierLimits:
    known = {name: value for name, value in changed.items() if name in LIMIT_NAMES}
    return msgspec.structs.replace(limits, **known)
