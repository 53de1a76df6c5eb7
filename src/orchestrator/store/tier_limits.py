"""Limits of tiers that were changed while the service runs."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.protocol.tiers import Tier
from orchestrator.store.records import Change, TierRecord
from orchestrator.store.tables import TIER_LIMITS


async def list_tier_limits(connection: AsyncConnection) -> dict[Tier, dict[str, int]]:
    """What was changed, by tier; a tier that nobody changed is not in it."""
    rows = await connection.execute(select(TIER_LIMITS))
    return {row.tier: row.limits for row in rows if row.limits}


async def set_tier_limits(
    connection: AsyncConnection, tier: Tier, limits: Mapping[str, int | None]
) -> Change[TierRecord]:
    """Sets what is given; None goes back to the environment's."""
    chosen = TIER_LIMITS.c.tier == tier
    row = (await connection.execute(select(TIER_LIMITS).where(chosen).with_for_update())).one()
    before = _record(row)
    merged = {**before.limits, **limits}
    kept = {name: value for name, value in merged.items() if value is not None}
    await connection.execute(update(TIER_LIMITS).where(chosen).values(limits=kept))
    after = TierRecord(tier=tier, limits=kept)
    return Change(record=after, before=before, action="limits.set", tenant_id=None, target=tier)


def _record(row: Row[Any]) -> TierRecord:
    return TierRecord(tier=row.tier, limits=row.limits)
