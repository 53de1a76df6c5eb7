"""/openapi.json: the HTTP interface as OpenAPI 3.1."""

from typing import Final

from orchestrator import current_version
from orchestrator.admission.send import Accepted
from orchestrator.api.description.admin import admin_paths
from orchestrator.api.description.answers import (
    Health,
    Liveness,
    Overview,
    QueueStats,
    Readiness,
    SessionView,
    SocketStats,
    TenantStats,
)
from orchestrator.api.description.chat import chat_paths
from orchestrator.api.description.deployment import deployment_paths, page_paths
from orchestrator.api.description.parameters import RESPONSE_HEADERS
from orchestrator.api.description.problems import Problem
from orchestrator.api.description.records import RECORDS
from orchestrator.api.description.schemas import components
from orchestrator.api.description.security import Security
from orchestrator.api.description.values import Schema
from orchestrator.api.tickets import IssuedTicket, TicketBody
from orchestrator.protocol.ledger import Ledger
from orchestrator.protocol.questions import AnswerBody
from orchestrator.protocol.send_body import SendBody

_TYPES: Final = (
    SendBody,
    AnswerBody,
    Accepted,
    Ledger,
    SessionView,
    TenantStats,
    TicketBody,
    IssuedTicket,
    Health,
    Liveness,
    Readiness,
    SocketStats,
    Overview,
    QueueStats,
    *RECORDS,
    Problem,
)
_TAGS: Final = {
    "Chat": "Send messages, follow sessions, look at tasks.",
    "Health": "For probes; open to everybody.",
    "Deployment": "For operators: figures of all replicas together.",
    "Administration": "For operators: tenants, what they may use, limits, tokens, and who changed what. Needs a token"
    " with the scope `admin`, and access validation; where identity comes from headers it is always 403.",
    "Pages": "For people, and the descriptions themselves.",
}
_DESCRIPTION: Final = (
    "The front door of a multi-tenant agent platform. A message is accepted once, waits for its agent in a"
    " queue and ends exactly once; everything that happens meanwhile is an event in its session's log, followed"
    " by WebSocket (/asyncapi.json) or Server-Sent Events. Times are RFC 3339 in UTC, durations seconds. {identity}"
    " Errors are problem documents (RFC 9457) with a `code`; a method that a route does not have is 405"
    " `method_not_allowed`, an unknown path 404 `not_found`."
)
_OF_TOKENS: Final = (
    "Identity comes from a token; headers and parameters may repeat what it says, a contradiction is 403."
)
_OF_HEADERS: Final = (
    "Identity comes from the headers: the service stands behind a gateway that sets them, or serves this machine"
    " alone."
)


def openapi_document(*, tokens: bool = False, gateway: bool = False) -> Schema:
    """The whole document, as plain data, of a server that asks for tokens, for the secret of a gateway, or neither."""
    security = Security(tokens=tokens, gateway=gateway)
    paths = {**chat_paths(), **deployment_paths(), **admin_paths(), **page_paths()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Orchestrator",
            "version": current_version(),
            "summary": "Messages to agents, answers back, exactly once each.",
            "description": _DESCRIPTION.format(identity=_OF_TOKENS if tokens else _OF_HEADERS),
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this document comes from."}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": security.applied(paths),
        "components": {
            "schemas": components(_TYPES),
            "headers": dict(RESPONSE_HEADERS),
            "securitySchemes": security.schemes,
        },
    }
