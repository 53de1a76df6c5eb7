"""Every URL of the service, on one page."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.admin import Admin
from orchestrator.api.chat import Chat
from orchestrator.api.deployment import Deployment
from orchestrator.api.endpoints import Endpoint, SocketEndpoint
from orchestrator.api.events import EventStreams
from orchestrator.api.guard import Guard
from orchestrator.api.pages import Pages, static_directory
from orchestrator.api.tickets import TicketOffice
from orchestrator.api.websocket import Sockets
from orchestrator.errors import Problem


def routes(
    *,
    guard: Guard,
    admin: Admin,
    chat: Chat,
    tickets: TicketOffice,
    streams: EventStreams,
    sockets: Sockets,
    deployment: Deployment,
    pages: Pages,
) -> list[BaseRoute]:
    """The table of routes, each with who may use it; contract §3 and §6 have the same rows."""
    return [
        # Finds out by itself who comes: it takes tickets, and a first frame. As the last one it would be found after a
        # look at each of the others.
        WebSocketRoute("/ws/{session_id}", SocketEndpoint(sockets.follow)),
        DirectRoute("/api/chat/send", guard.chat(chat.send)),
        Route("/api/chat/tasks/{task_id}", guard.chat(chat.task), methods=["GET"]),
        Route("/api/chat/tasks/{task_id}/cancel", guard.chat(chat.cancel), methods=["POST"]),
        Route("/api/chat/tasks/{task_id}/answer", guard.chat(chat.answer), methods=["POST"]),
        Route("/api/chat/sessions/{session_id}", guard.chat(chat.session), methods=["GET"]),
        # Finds out by itself who comes: it takes tickets.
        Route("/api/chat/sessions/{session_id}/events", _Stream(streams.follow), methods=["GET"]),
        Route("/api/chat/stats", guard.chat(chat.stats), methods=["GET"]),
        DirectRoute("/api/auth/ticket", guard.chat(tickets.issue)),
        Route("/health", guard.public(deployment.health), methods=["GET"]),
        Route("/api/chat/health", guard.public(deployment.health), methods=["GET"]),
        Route("/ws/health", guard.public(deployment.health), methods=["GET"]),
        Route("/health/live", guard.public(deployment.live), methods=["GET"]),
        Route("/health/ready", guard.public(deployment.ready), methods=["GET"]),
        Route("/ws/stats", guard.metrics(deployment.sockets), methods=["GET"]),
        Route("/metrics/overview", guard.metrics(deployment.overview), methods=["GET"]),
        Route("/metrics/queues", guard.metrics(deployment.queues), methods=["GET"]),
        Route("/metrics", guard.metrics(deployment.metrics), methods=["GET"]),
        *_administration(guard, admin),
        Route("/openapi.json", guard.public(pages.openapi), methods=["GET"]),
        Route("/asyncapi.json", guard.public(pages.asyncapi), methods=["GET"]),
        Route("/docs", guard.public(pages.docs), methods=["GET"]),
        Route("/", guard.public(pages.index), methods=["GET"]),
        # Open to anybody, as the page that needs them.
        Mount("/static", _Files(directory=static_directory())),
    ]


def _administration(guard: Guard, admin: Admin) -> list[BaseRoute]:
    tenants, deployment = admin.tenants, admin.deployment
    kinds = {"agents": admin.agents, "workflows": admin.workflows, "collections": admin.collections}
    return [
        Route("/api/admin/tenants", guard.admin(tenants.all), methods=["GET", "POST"]),
        Route("/api/admin/tenants/{tenant_id}", guard.admin(tenants.one), methods=["GET", "PATCH"]),
        Route("/api/admin/tenants/{tenant_id}/suspend", guard.admin(tenants.suspend), methods=["POST"]),
        Route("/api/admin/tenants/{tenant_id}/resume", guard.admin(tenants.resume), methods=["POST"]),
        *(
            route
            for kind, contexts in kinds.items()
            for route in (
                Route(f"/api/admin/{kind}", guard.admin(contexts.all), methods=["GET", "POST"]),
                Route(
                    f"/api/admin/{kind}/{{context_id}}", guard.admin(contexts.one), methods=["GET", "PATCH"]
                ),
                Route(
                    f"/api/admin/{kind}/{{context_id}}/grants/{{tenant_id}}",
                    guard.admin(contexts.grant),
                    methods=["PUT", "DELETE"],
                ),
            )
        ),
        Route("/api/admin/limits", guard.admin(deployment.limits), methods=["GET"]),
        Route("/api/admin/limits/{tier}", guard.admin(deployment.tier), methods=["PATCH"]),
        Route("/api/admin/tokens/revoke", guard.admin(deployment.revoke), methods=["POST"]),
        Route("/api/admin/audit", guard.admin(deployment.audit), methods=["GET"]),
    ]


class DirectRoute(Route):
    """A POST that is answered without ASGI where it comes whole: see whole_requests.py."""

    def __init__(self, path: str, endpoint: Endpoint) -> None:
        super().__init__(path, endpoint, methods=["POST"])
        self.handler = endpoint.handler


class _Stream:
    """An endpoint that writes its answer itself: a class, so that the router hands it the raw channel."""

    def __init__(self, follow: Callable[[Request, Receive, Send], Awaitable[None]]) -> None:
        self._follow = follow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            raise Problem("method_not_allowed", "a stream has no HEAD")
        await self._follow(Request(scope, receive), receive, send)


class _Files(StaticFiles):
    """The console's files; checked with the server at each load, since a page and its modules belong together."""

    def file_response(self, *args: object, **kwargs: object) -> ASGIApp:  # type: ignore[override]
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response
