"""The composition root: a replica and its edge, as one ASGI application."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from orchestrator.api.admin import Admin
from orchestrator.api.asyncapi import asyncapi_document
from orchestrator.api.chat import Chat
from orchestrator.api.client_frames import ClientFrames
from orchestrator.api.deployment import Deployment
from orchestrator.api.edge import Edge
from orchestrator.api.events import EventStreams
from orchestrator.api.following import Following
from orchestrator.api.forwarded import Forwarded
from orchestrator.api.guard import Guard
from orchestrator.api.openapi import openapi_document
from orchestrator.api.pages import Pages
from orchestrator.api.pending_connections import PendingConnections
from orchestrator.api.routes import DirectRoute, routes
from orchestrator.api.tickets import TicketOffice
from orchestrator.api.websocket import Sockets
from orchestrator.auth.origins import Origins
from orchestrator.broker.queues import Queues
from orchestrator.delivery.ledgers import Ledgers
from orchestrator.service import Service
from orchestrator.settings import Settings
from orchestrator.telemetry import configure_logging


def create_app(settings: Settings) -> Starlette:
    """The web application; in `app.state` the `runtime` to drain, who is `pending`, and what is answered `direct`."""
    log = configure_logging(settings.log_level, settings.log_format, settings.domain_name)
    service = Service(settings, log)
    by_headers = service.tokens is None and not settings.gateway_secret and not settings.trust_headers
    origins = Origins(settings.allowed_origins, loopback_only=settings.is_loopback and by_headers)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None, None]:
        async with service.running():
            yield

    table = _routes(service, origins)
    app = Starlette(routes=table, lifespan=lifespan)
    app.router.redirect_slashes = False  # another URL is another resource: 404
    edge = Edge(app.router, identifier=service.identifier, origins=origins, metrics=service.metrics, log=log)
    # In place of Starlette's own layers, which would answer what the edge answers.
    app.middleware_stack = forwarded = Forwarded(edge, settings.trusted_proxies)
    app.state.direct = {
        route.path.encode(): forwarded.direct(edge.direct(route.path, route.handler))
        for route in table
        if isinstance(route, DirectRoute)
    }
    app.state.runtime = service.runtime
    app.state.pending = PendingConnections(settings.trusted_proxies, service.metrics, log)
    return app


def _routes(service: Service, origins: Origins) -> list[BaseRoute]:
    clock = service.broker.clock
    frames = ClientFrames(
        identifier=service.identifier,
        credentials=service.credentials,
        context_handler=service.context_handler,
        sender=service.sender,
        cancellation=service.cancellation,
        answers=service.answers,
        settlements=service.settlements,
        clock=clock,
        metrics=service.metrics,
        log=service.log,
    )
    following = Following(
        manager=service.manager,
        runtime=service.runtime,
        log=service.session_log,
        access=service.access,
        settlements=service.settlements,
        frames=frames,
        revocations=service.revocations,
        connections_max=service.settings.max_websocket_connections,
        limits=service.limits,
        ping_interval=service.settings.websocket_ping_interval,
        explain_waits=service.explain_waits,
    )
    ledgers = Ledgers(service.tasks, service.logs, service.explainer, clock)
    queues = Queues(service.broker, service.agenda, service.roster)
    return routes(
        guard=Guard(service.identifier),
        admin=Admin(service.administration, service.settings.tier_limits, service.log),
        chat=Chat(
            service.context_handler,
            service.sender,
            ledgers,
            service.cancellation,
            service.answers,
            service.tasks,
            clock,
        ),
        tickets=TicketOffice(service.tickets, origins),
        streams=EventStreams(service.identifier, service.credentials, following),
        sockets=Sockets(
            identifier=service.identifier,
            credentials=service.credentials,
            origins=origins,
            following=following,
            frames=frames,
            connections_max=service.settings.max_websocket_connections,
            limits=service.limits,
            metrics=service.metrics,
            log=service.log,
        ),
        deployment=Deployment(
            service.runtime, service.roster, queues, service.access, service.figures, service.tokens
        ),
        pages=Pages(
            openapi_document(
                tokens=service.identifier.needs_token, gateway=bool(service.settings.gateway_secret)
            ),
            asyncapi_document(),
        ),
    )
