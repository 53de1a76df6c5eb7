"""`/api/admin/tenants`: the customers."""

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.admin.changes import new_tenant, tenant_change
from orchestrator.api.admin.desk import Desk, actor_of
from orchestrator.api.admin.query import Query, page_of
from orchestrator.api.bodies import json_body
from orchestrator.api.problems import JsonResponse
from orchestrator.auth.identity import require_id
from orchestrator.errors import Problem


class TenantRoutes:
    """What `orchestrator tenants` does."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def all(self, request: Request) -> Response:
        """GET: a page of them. POST: create one."""
        return await (self._create(request) if request.method == "POST" else self._list(request))

    async def one(self, request: Request) -> Response:
        """GET: the record. PATCH: another tier, or limits of its own."""
        tenant_id = tenant_of(request)
        if request.method == "PATCH":
            return await self._update(request, tenant_id)
        return JsonResponse(await self._desk.ask(lambda asked: asked.store.get_tenant(tenant_id)))

    async def suspend(self, request: Request) -> Response:
        """Let nobody of it in any more, end its tasks, close its sockets."""
        tenant_id, actor = tenant_of(request), actor_of(request)
        suspended = await self._desk.ask(lambda asked: asked.suspend_tenant(tenant_id, actor=actor))
        record = msgspec.structs.asdict(suspended.tenant)
        return JsonResponse(record | {"tasks_ended": suspended.tasks_ended})

    async def resume(self, request: Request) -> Response:
        """Let it in again."""
        tenant_id, actor = tenant_of(request), actor_of(request)
        return JsonResponse(await self._desk.ask(lambda asked: asked.resume_tenant(tenant_id, actor=actor)))

    async def _list(self, request: Request) -> Response:
        query = Query(request.query_params, "after", "limit")
        after, limit = query.id("after"), query.limit()
        records = await self._desk.ask(lambda asked: asked.store.list_tenants(after=after, limit=limit + 1))
        return JsonResponse(page_of("tenants", records, limit))

    async def _create(self, request: Request) -> Response:
        body, actor = await json_body(request, new_tenant), actor_of(request)
        require_id("id", body.id)
        limits = {name: value for name, value in body.limits.given().items() if value is not None}
        record = await self._desk.ask(
            lambda asked: asked.create_tenant(body.id, body.tier, limits, actor=actor)
        )
        return JsonResponse(record, 201, {"Location": f"/api/admin/tenants/{record.id}"})

    async def _update(self, request: Request, tenant_id: str) -> Response:
        body, actor = await json_body(request, tenant_change), actor_of(request)
        if body.tier is UNSET and body.limits is UNSET:
            raise Problem("invalid_body", "nothing to change: give `tier` or `limits`")
        tier = None if body.tier is UNSET else body.tier
        limits = None if body.limits is UNSET else body.limits.given()
        return JsonResponse(
            await self._desk.ask(
                lambda asked: asked.update_tenant(tenant_id, tier=tier, limits=limits, actor=actor)
            )
        )


def tenant_of(request: Request) -> str:
    """The tenant in the path."""
    tenant_id: str = request.path_params["tenant_id"]
    require_id("tenant_id", tenant_id)
    return tenant_id
