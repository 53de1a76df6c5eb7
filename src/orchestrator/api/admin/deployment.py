"""`/api/admin/limits`, `/tokens/revoke` and `/audit`: what belongs to no single record."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.admission.limit_rules import overlaid
from orchestrator.api.admin.changes import revocation, tier_change
from orchestrator.api.admin.desk import Desk, actor_of
from orchestrator.api.admin.query import Query
from orchestrator.api.bodies import json_body
from orchestrator.api.problems import JsonResponse
from orchestrator.auth.identity import require_id, require_tier, require_user_id
from orchestrator.protocol.tiers import TIERS, Tier, TierLimits

AUDIT_ID_MAX: Final = 2**63 - 1


class DeploymentRoutes:
    """What `orchestrator limits`, `token revoke` and `audit` do."""

    def __init__(self, desk: Desk, tier_limits: Mapping[Tier, TierLimits]) -> None:
        self._desk = desk
        self._tier_limits = tier_limits

    async def limits(self, _request: Request) -> Response:
        """The limits of every tier, and which of them were changed here."""
        changed = await self._desk.ask(lambda asked: asked.store.tier_limits())
        return JsonResponse({"tiers": [self._row(tier, changed.get(tier, {})) for tier in TIERS]})

    async def tier(self, request: Request) -> Response:
        """Change limits of a tier; null goes back to the environment's."""
        tier = require_tier(request.path_params["tier"])
        body, actor = await json_body(request, tier_change), actor_of(request)
        given = body.limits.given()
        record = await self._desk.ask(lambda asked: asked.set_tier_limits(tier, given, actor=actor))
        return JsonResponse(self._row(tier, record.limits))

    async def revoke(self, request: Request) -> Response:
        """Void what was issued to a subject until now."""
        body, actor = await json_body(request, revocation), actor_of(request)
        if body.tenant_id is not None:
            require_id("tenant_id", body.tenant_id)
        require_user_id("sub", body.sub)
        record = await self._desk.ask(
            lambda asked: asked.revoke_subject(body.tenant_id or "", body.sub, actor=actor)
        )
        return JsonResponse(
            {"tenant_id": body.tenant_id, "sub": record.subject, "revoked_at": record.revoked_at}
        )

    async def audit(self, request: Request) -> Response:
        """Who changed what, the newest first."""
        query = Query(request.query_params, "tenant_id", "limit", "before")
        tenant_id, limit, before = query.id("tenant_id"), query.limit(), query.whole("before", AUDIT_ID_MAX)
        records = await self._desk.ask(lambda asked: asked.store.audit(tenant_id, limit + 1, before))
        shown = records[:limit]
        return JsonResponse({"entries": shown, "next": shown[-1].id if len(records) > limit else None})

    def _row(self, tier: Tier, changed: Mapping[str, int]) -> dict[str, Any]:
        holding = overlaid({tier: self._tier_limits[tier]}, {tier: changed})[tier]
        return {"tier": tier, "limits": holding, "changed": changed}
