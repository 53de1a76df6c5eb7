"""`/api/admin/agents`, `/workflows` and `/collections`: the same routes for each type of context."""

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.admin.changes import context_change, new_context
from orchestrator.api.admin.desk import Desk, actor_of
from orchestrator.api.admin.query import Query, page_of
from orchestrator.api.admin.tenants import tenant_of
from orchestrator.api.bodies import json_body
from orchestrator.api.problems import JsonResponse
from orchestrator.auth.identity import require_id
from orchestrator.errors import Problem
from orchestrator.protocol.context import ContextType, canonical_id
from orchestrator.protocol.identifiers import is_valid_id


class ContextRoutes:
    """What `orchestrator agents` does, or `workflows`, or `collections`."""

    def __init__(self, desk: Desk, kind: ContextType) -> None:
        self._desk = desk
        self._kind: ContextType = kind

    async def all(self, request: Request) -> Response:
        """GET: a page of them, or of those that a tenant may use. POST: create one."""
        return await (self._create(request) if request.method == "POST" else self._list(request))

    async def one(self, request: Request) -> Response:
        """GET: the record. PATCH: change it."""
        context_id = self._context_of(request)
        if request.method == "PATCH":
            return await self._update(request, context_id)
        return JsonResponse(await self._desk.ask(lambda asked: asked.store.get_context(context_id)))

    async def grant(self, request: Request) -> Response:
        """PUT: let the tenant use it. DELETE: take that back."""
        context_id = self._context_of(request)
        tenant_id, actor = tenant_of(request), actor_of(request)
        if request.method == "DELETE":
            record = await self._desk.ask(lambda asked: asked.revoke(tenant_id, context_id, actor=actor))
        else:
            record = await self._desk.ask(lambda asked: asked.grant(tenant_id, context_id, actor=actor))
        return JsonResponse(record)

    async def _list(self, request: Request) -> Response:
        query = Query(request.query_params, "tenant_id", "after", "limit")
        tenant_id, after, limit = query.id("tenant_id"), query.id("after"), query.limit()
        records = await self._desk.ask(
            lambda asked: asked.store.list_contexts(tenant_id, self._kind, after=after, limit=limit + 1)
        )
        return JsonResponse(page_of(f"{self._kind}s", records, limit))

    async def _create(self, request: Request) -> Response:
        body, actor = await json_body(request, new_context), actor_of(request)
        require_id("id", body.id)
        name = canonical_id(self._kind, body.id)
        if not is_valid_id(name):
            # A send that names it has to be able to.
            raise Problem("invalid_id", f"id has more than 128 characters as {self._kind}-…", parameter="id")
        require_id("tenant_id", body.tenant_id)
        record = await self._desk.ask(
            lambda asked: asked.create_context(
                body.tenant_id,
                self._kind,
                name,
                turn_policy=body.turn_policy,
                max_attempts=body.max_attempts,
                actor=actor,
            )
        )
        return JsonResponse(record, 201, {"Location": f"/api/admin/{self._kind}s/{record.id}"})

    async def _update(self, request: Request, context_id: str) -> Response:
        body, actor = await json_body(request, context_change), actor_of(request)
        if body.is_empty:
            raise Problem("invalid_body", "nothing to change: give `active`, `turn_policy` or `max_attempts`")
        return JsonResponse(
            await self._desk.ask(
                lambda asked: asked.update_context(
                    context_id,
                    active=body.active,
                    turn_policy=body.turn_policy,
                    max_attempts=body.max_attempts,
                    actor=actor,
                )
            )
        )

    def _context_of(self, request: Request) -> str:
        """The canonical id of what the path names in either form."""
        name: str = request.path_params["context_id"]
        require_id("context_id", name)
        return canonical_id(self._kind, name)
