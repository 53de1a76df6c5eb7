"""The operations of health, sockets, metrics, and of what people look at."""

from typing import Final

from orchestrator.api.description.operation import answer, json_of, operation
from orchestrator.api.description.parameters import or_empty, plain, query
from orchestrator.api.description.problems import GUARDED, refusals
from orchestrator.api.description.values import Id, Schema

_HEALTH: Final = {
    "/health": ("showHealth", "Show whether the service does its work."),
    "/api/chat/health": ("showChatHealth", "Show the same under the path of the chat."),
    "/ws/health": ("showSocketHealth", "Show the same under the path of the WebSockets."),
}


def deployment_paths() -> dict[str, Schema]:
    """Path items for operators and probes."""
    return {
        **{path: {"get": _health(name, summary)} for path, (name, summary) in _HEALTH.items()},
        "/health/live": {"get": _live()},
        "/health/ready": {"get": _ready()},
        "/ws/stats": {"get": _sockets()},
        "/metrics/overview": {"get": _overview()},
        "/metrics/queues": {"get": _queues()},
        "/metrics": {"get": _metrics()},
    }


def page_paths() -> dict[str, Schema]:
    """Path items of the chat page and of the descriptions."""
    return {
        "/openapi.json": {"get": _document("showOpenapi", "Show this document.")},
        "/asyncapi.json": {
            "get": _document("showAsyncapi", "Show the WebSocket and the queues, as AsyncAPI 3.")
        },
        "/docs": {"get": _page("showDocs", "Show both descriptions to people.")},
        "/": {"get": _page("showChat", "Show the chat page.")},
    }


def _health(name: str, summary: str) -> Schema:
    fine = answer(
        "It does, or in part: `degraded`, and what fails.", json_of("Health", {"status": "healthy"})
    )
    failing = {"status": "unhealthy", "failing": ["redis"]}
    responses = {
        "200": fine,
        "503": answer("It does not.", json_of("Health", failing)),
        **refusals(before=()),
    }
    return operation(name, "Health", summary, responses)


def _live() -> Schema:
    alive = answer("It is.", json_of("Liveness", {"status": "alive"}))
    responses = {"200": alive, **refusals(before=())}
    return operation("showLiveness", "Health", "Show that the process is alive.", responses)


def _ready() -> Schema:
    responses = {
        "200": answer("It can.", json_of("Readiness", {"status": "ready"})),
        "503": answer("It cannot, or takes nothing new.", json_of("Readiness", {"status": "draining"})),
        **refusals(before=()),
    }
    return operation(
        "showReadiness", "Health", "Show whether this replica can deliver and verify tokens.", responses
    )


def _sockets() -> Schema:
    return operation(
        "showSocketStats",
        "Deployment",
        "Count the open WebSockets and streams of the whole deployment.",
        {
            "200": answer("The counts.", json_of("SocketStats")),
            **refusals("invalid_id", "unavailable"),
        },
        parameters=[query("tenant_id", or_empty(plain(Id)), "Only this tenant's.")],
    )


def _overview() -> Schema:
    return operation(
        "showOverview",
        "Deployment",
        "Show the whole deployment at a glance.",
        {"200": answer("The figures.", json_of("Overview")), **refusals("unavailable")},
    )


def _queues() -> Schema:
    return operation(
        "showQueues",
        "Deployment",
        "Show what waits in which queue, and for how long.",
        {"200": answer("The queues.", json_of("QueueStats")), **refusals("unavailable")},
    )


def _metrics() -> Schema:
    text: Schema = {"text/plain": {"schema": {"type": "string"}}}
    return operation(
        "showMetrics",
        "Deployment",
        "Show the metrics of all processes on this port, for Prometheus.",
        {"200": answer("The text format of Prometheus.", text), **refusals("unavailable")},
        description="No label names a tenant or a session.",
    )


def _document(name: str, summary: str) -> Schema:
    content: Schema = {"application/json": {"schema": {"type": "object"}}}
    return operation(
        name, "Pages", summary, {"200": answer("The document.", content), **refusals(before=GUARDED)}
    )


def _page(name: str, summary: str) -> Schema:
    content: Schema = {"text/html": {"schema": {"type": "string"}}}
    return operation(
        name, "Pages", summary, {"200": answer("The page.", content), **refusals(before=GUARDED)}
    )
