"""The question behind every admission: may this tenant use these contexts?"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.store.records import AccessRecord, ContextRules
from orchestrator.store.tables import CONTEXTS, GRANTS, TENANTS


async def read_access(
    connection: AsyncConnection, tenant_id: str, context_ids: Sequence[str]
) -> AccessRecord:
    """One statement: no row is no such tenant, each further column is a context it may use."""
    rows = (await connection.execute(_question(tenant_id, context_ids))).all()
    if not rows:
        return AccessRecord(tier=None, limits={}, granted={})
    granted = {
        row.context_id: ContextRules(row.turn_policy, row.max_attempts)
        for row in rows
        if row.context_id is not None
    }
    return AccessRecord(tier=rows[0].tier, limits=rows[0].limits, granted=granted)


def _question(tenant_id: str, context_ids: Sequence[str]) -> Select[*tuple[Any, ...]]:
    granted = exists().where(GRANTS.c.context_id == CONTEXTS.c.id, GRANTS.c.tenant_id == TENANTS.c.id)
    usable = and_(
        CONTEXTS.c.id.in_(context_ids),
        CONTEXTS.c.active,
        or_(CONTEXTS.c.tenant_id == TENANTS.c.id, granted),
    )
    return (
        select(
            TENANTS.c.tier,
            TENANTS.c.limits,
            CONTEXTS.c.id.label("context_id"),
            CONTEXTS.c.turn_policy,
            CONTEXTS.c.max_attempts,
        )
        .select_from(TENANTS.outerjoin(CONTEXTS, usable))
        .where(TENANTS.c.id == tenant_id, TENANTS.c.active)
    )
