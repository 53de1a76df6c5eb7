"""What requests carry besides a body, and the headers of answers (contract §3, §7)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from orchestrator.api.description.values import POSITION, Id, Position, Schema, TaskId, UserId, context_id
from orchestrator.api.headers import OPTIONAL, REQUIRED
from orchestrator.protocol.context import ContextType
from orchestrator.protocol.position import EARLIEST
from orchestrator.protocol.tiers import Tier


def plain(kind: Any) -> Schema:
    """The schema of a plain type, written out in place."""
    return msgspec.json.schema(kind)


def or_empty(schema: Schema) -> Schema:
    """The same, where an empty value counts as an absent one."""
    return {"anyOf": [schema, {"const": ""}]} if {"minLength", "enum"} & schema.keys() else schema


_ID, _USER, _TIER = plain(Id), plain(UserId), plain(Tier)
_CONTEXT: Final[Schema] = _ID | {"maxLength": 128 - len("workflow-")}
_PRINTABLE: Final = r"[ -~\xa1-\xac\xae-\xff]"
"""What is printable of the characters that a header can have."""
_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{_PRINTABLE}*$"}
_LABEL: Final[Schema] = {"type": "string", "maxLength": 255, "pattern": f"^{_PRINTABLE}*$"}
START: Final[Schema] = {"anyOf": [plain(Position), {"const": EARLIEST}]}

_WHAT: Final[Mapping[str, tuple[Schema, str, str]]] = {
    "X-Tenant-ID": (_ID, "tenant-456", "The tenant to whom everything here belongs."),
    "X-Agent-ID": (
        _CONTEXT,
        "agent-123",
        "Who answers; for the context type `workflow` it names the workflow. With its type in front it is an id too.",
    ),
    "X-Tenant-Tier": (_TIER, "professional", "The tier of the tenant."),
    "X-Session-ID": (_ID, "sess-abc123", "The conversation window; a WebSocket follows one."),
    "X-Context-Type": (
        plain(ContextType) | {"default": "agent"},
        "agent",
        "What the task runs in; `collection` needs `X-Collection-ID`.",
    ),
    "X-User-ID": (_NAME, "user-789", "Who asks. The first user of a session owns it."),
    "X-Conversation-ID": (_ID, "conv-def456", "A conversation that may span sessions; agents get it."),
    "X-Collection-ID": (
        context_id("collection"),
        "collection-1",
        "A collection that the task may use, in any context.",
    ),
    "X-Request-Source": (_LABEL, "web", "Where the request comes from; agents get it."),
    "X-Client-Version": (_LABEL, "1.2.3", "The version of the client; agents get it."),
    "Idempotency-Key": (
        {
            "type": "string",
            "minLength": 1,
            "pattern": f'^(?!""$)({_PRINTABLE}{{1,128}}|"{_PRINTABLE}{{1,128}}")$',
        },
        "4e1c2f0a-retry-safe",
        (
            "1 to 128 printable characters, in quotes or not. The same key and request within 24 hours give the first"
            " answer again and cost nothing."
        ),
    ),
    "traceparent": (
        {"type": "string"},
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "W3C Trace Context; agents get it. One that is malformed is ignored.",
    ),
}


def header(name: str, *, required: bool) -> Schema:
    """A request header."""
    schema, example, description = _WHAT[name]
    place = {"name": name, "in": "header", "required": required}
    described = {"schema": schema if required else or_empty(schema), "description": description}
    return {**place, **described, "example": example}


SEND_HEADERS: Final = [header(name, required=name in REQUIRED) for name in (*REQUIRED, *OPTIONAL)]


def query(name: str, schema: Schema, description: str) -> Schema:
    """A query parameter; none is required, since headers say the same."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def path(name: str, kind: Any, example: str) -> Schema:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": plain(kind), "example": example}


TASK_PATH: Final = path("task_id", TaskId, "task-Zx3v9QmT5cYk1LrW8uJ2aA")
SESSION_PATH: Final = path("session_id", Id, "sess-abc123")


def _optional(*names: str) -> list[Schema]:
    return [header(name, required=False) for name in names]


IDENTITY: Final = ("X-Tenant-ID", "X-Tenant-Tier", "X-User-ID")
CALLER: Final = [header("X-Tenant-ID", required=True), *_optional("X-Tenant-Tier", "X-User-ID")]

TICKET_HEADERS: Final = [header("X-Session-ID", required=True), *_optional(*IDENTITY)]

READER_QUERY: Final[Mapping[str, tuple[Schema, str]]] = {
    "tenant_id": (
        or_empty(_ID),
        "The tenant. Needed here or in `X-Tenant-ID`, unless a token or a ticket says it.",
    ),
    "tier": (
        or_empty(_TIER),
        "Its tier. Needed here or in `X-Tenant-Tier`, unless a token or a ticket says it.",
    ),
    "tenant_tier": (or_empty(_TIER), "Another name of `tier`."),
    "user_id": (or_empty(_USER), "Who reads."),
    "ticket": (
        {"type": "string"},
        "From `POST /api/auth/ticket`, in place of a token. A token itself must not be in a URL.",
    ),
    "position": (
        START,
        f"Resume after this position; `{EARLIEST}`: all that is kept; absent: live from now.",
    ),
}

READER: Final = [
    *_optional(*IDENTITY),
    *(query(name, schema, description) for name, (schema, description) in READER_QUERY.items()),
    {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "What `EventSource` sends when it comes back; wins over `position`.",
        "example": POSITION,
    },
]

RESPONSE_HEADERS: Final[Mapping[str, Schema]] = {
    "Location": {
        "description": "Where the task's ledger is.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/api/chat/tasks/task-"},
    },
    "Created": {
        "description": "Where the record is.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/api/admin/(tenants|agents|workflows|collections)/"},
    },
    "Idempotency-Replayed": {
        "description": "`true` where this is the first answer again.",
        "schema": {"const": "true"},
    },
    "RateLimit-Policy": {
        "description": "The limits of session and tenant: quota `q` within a window of `w` seconds"
        " (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
        "example": '"session";q=100;w=3600, "tenant";q=1200;w=60',
    },
    "RateLimit": {
        "description": "What is left: `r` requests now, `t` seconds until there is more.",
        "schema": {"type": "string"},
        "example": '"session";r=99;t=3600, "tenant";r=119;t=1',
    },
    "Retry-After": {
        "description": "Seconds.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "required": True,
        "schema": {"type": "string"},
    },
}
