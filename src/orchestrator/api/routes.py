"""Every URL of the service, on one page."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.chat import Chat
from orchestrator.api.deployment import Deployment
from orchestrator.api.events import EventStreams
from orchestrator.api.pages import Pages, static_directory
from orchestrator.api.websocket import Sockets
from orchestrator.errors import Problem


def routes(
    chat: Chat, streams: EventStreams, sockets: Sockets, deployment: Deployment, pages: Pages
) -> list[BaseRoute]:
    """The table of routes; contract §3 has the same rows."""
    return [
        Route("/api/chat/send", chat.send, methods=["POST"]),
        Route("/api/chat/tasks/{task_id}", chat.task, methods=["GET"]),
        Route("/api/chat/tasks/{task_id}/cancel", chat.cancel, methods=["POST"]),
        Route("/api/chat/sessions/{session_id}", chat.session, methods=["GET"]),
        Route("/api/chat/sessions/{session_id}/events", _Stream(streams.follow), methods=["GET"]),
        Route("/api/chat/stats", chat.stats, methods=["GET"]),
        Route("/api/auth/ticket", chat.ticket, methods=["POST"]),
        Route("/health", deployment.health, methods=["GET"]),
        Route("/api/chat/health", deployment.health, methods=["GET"]),
        Route("/ws/health", deployment.health, methods=["GET"]),
        Route("/health/live", deployment.live, methods=["GET"]),
        Route("/health/ready", deployment.ready, methods=["GET"]),
        Route("/ws/stats", deployment.sockets, methods=["GET"]),
        Route("/metrics/overview", deployment.overview, methods=["GET"]),
        Route("/metrics/queues", deployment.queues, methods=["GET"]),
        Route("/metrics", deployment.metrics, methods=["GET"]),
        Route("/openapi.json", pages.openapi, methods=["GET"]),
        Route("/asyncapi.json", pages.asyncapi, methods=["GET"]),
        Route("/docs", pages.docs, methods=["GET"]),
        Route("/", pages.index, methods=["GET"]),
        Mount("/static", _Files(directory=static_directory())),
        WebSocketRoute("/ws/{session_id}", sockets.follow),
    ]


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
