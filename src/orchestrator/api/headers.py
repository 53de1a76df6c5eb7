"""Reading a request's headers and query: who asks, and what a send addresses."""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, QueryParams

from orchestrator.admission.request import Addressed
from orchestrator.api.request_headers import RequestHeaders
from orchestrator.auth.claims import Claims
from orchestrator.auth.identifier import BLANKS
from orchestrator.auth.identity import IN_HEADERS, IN_QUERY, Identity, Stated, identify
from orchestrator.errors import Problem

SECRETS: Final = ("token", "access_token", "authorization", "jwt", "secret")
"""Parameters in which a secret would come."""

REQUIRED: Final = ("X-Tenant-ID", "X-Agent-ID", "X-Tenant-Tier", "X-Session-ID")
OPTIONAL: Final = (
    "X-Context-Type",
    "X-User-ID",
    "X-Conversation-ID",
    "X-Collection-ID",
    "X-Request-Source",
    "X-Client-Version",
    "Idempotency-Key",
    "traceparent",
)

_SPELLED: Final = {name.lower(): name for name in (*REQUIRED, *OPTIONAL)}
_NONE_FOUND: Final[Mapping[str, str | None]] = dict.fromkeys(_SPELLED.values())


def header(headers: Headers, name: str) -> str | None:
    """One header's value; '' counts as absent, and two of them are nobody's intention."""
    values = headers.getlist(name)
    return _one(name, values) if values else None


def _one(name: str, values: list[str]) -> str | None:
    if len(values) > 1:
        raise Problem("invalid_id", f"{name} is given {len(values)} times", parameter=name)
    value = values[0].strip(BLANKS)
    return (value if value.isascii() else _text(value)) or None


def _text(value: str) -> str:
    """A value as its sender meant it: bytes that are UTF-8 are read so, others one character each (RFC 9110 §5.5)."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def parameter(query: QueryParams, name: str) -> str | None:
    """One parameter's value; '' counts as absent, and two of them are nobody's intention."""
    values = query.getlist(name)
    if len(values) > 1:
        raise Problem("invalid_id", f"the parameter {name} is given {len(values)} times", parameter=name)
    return values[0] or None if values else None


def refuse_secrets(query: QueryParams) -> None:
    """Raise `invalid_id` for a token in the URL, though the header beside it may be good."""
    for name in SECRETS:
        if name in query:
            raise Problem("invalid_id", f"the parameter {name} must not be in a URL: URLs are logged")


def send_headers(headers: RequestHeaders, claims: Claims | None) -> dict[str, str | None]:
    """The headers of a send; raises `missing_headers` that names every one that neither they nor the token tell."""
    found = dict(_NONE_FOUND)
    for lower, values in headers.lists():
        name = _SPELLED.get(lower)
        if name is not None:
            found[name] = _one(name, values)
    missing = [name for name in REQUIRED if found[name] is None]
    if missing and (missing := [name for name in missing if name not in _told_by(claims)]):
        raise Problem("missing_headers", f"send these headers too: {', '.join(missing)}", missing=missing)
    return found


def _told_by(claims: Claims | None) -> set[str]:
    """The required headers that a token makes unnecessary."""
    if claims is None:
        return set()
    told = {"X-Tenant-ID": claims.tenant, "X-Tenant-Tier": claims.tier, "X-Session-ID": claims.session}
    return {name for name, value in told.items() if value is not None}


def sender(found: Mapping[str, str | None], claims: Claims | None) -> Identity:
    """Who sends, by the send's headers and the token."""
    return identify(
        Stated(
            tenant=found["X-Tenant-ID"],
            tier=found["X-Tenant-Tier"],
            user=found["X-User-ID"],
            session=found["X-Session-ID"],
        ),
        claims,
    )


def addressed(found: Mapping[str, str | None]) -> Addressed:
    """What a send's headers say about its target."""
    return Addressed(
        agent=found["X-Agent-ID"] or "",
        context_type=found["X-Context-Type"] or "agent",
        collection=found["X-Collection-ID"],
        conversation=found["X-Conversation-ID"],
        request_source=found["X-Request-Source"],
        client_version=found["X-Client-Version"],
        idempotency_key=found["Idempotency-Key"],
        traceparent=found["traceparent"],
    )


def caller(headers: Headers, claims: Claims | None, session: str | None = None) -> Identity:
    """Who asks about a tenant's things, or about one `session`; raises `missing_headers` where no tenant is told."""
    stated = Stated(
        tenant=header(headers, "X-Tenant-ID"),
        tier=header(headers, "X-Tenant-Tier"),
        user=header(headers, "X-User-ID"),
        session=session,
    )
    return _held_to_its_session(identify(stated, claims), headers)


def _held_to_its_session(identity: Identity, headers: Headers) -> Identity:
    """The caller, who may name in X-Session-ID, where nothing needs it, no session beyond the token's."""
    said = header(headers, "X-Session-ID")
    if said is not None:
        identity.reach(said)
    return identity


def reader(
    headers: Headers, query: QueryParams, session: str, claims: Claims | None, *, headers_only: bool
) -> Identity:
    """Who wants to follow a session, by WebSocket or SSE.

    Behind a gateway (`headers_only`) the handshake's headers say so and query parameters may repeat them, not
    contradict; else either will do. Raises `missing_headers` that names what neither they nor the token tell.
    """
    stated = {
        "tenant_id": header(headers, "X-Tenant-ID"),
        "tier": header(headers, "X-Tenant-Tier"),
        "user_id": header(headers, "X-User-ID"),
    }
    asked = {
        "tenant_id": parameter(query, "tenant_id"),
        "tier": parameter(query, "tier") or parameter(query, "tenant_tier"),
        "user_id": parameter(query, "user_id"),
    }
    for name, value in asked.items():
        if stated[name] is not None and value is not None and value != stated[name]:
            code = "tier_mismatch" if name == "tier" else "access_denied"
            raise Problem(code, f"the parameter {name} contradicts the identity header")
        if not headers_only:
            stated[name] = stated[name] or value
    named = IN_HEADERS if headers_only else IN_QUERY
    if claims is None or claims.tenant is None:
        needed = {named.tenant: stated["tenant_id"], named.tier: stated["tier"]}
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            kind = "header" if headers_only else "parameter"
            raise Problem("missing_headers", f"missing {kind}: {', '.join(missing)}", missing=missing)
    identity = identify(
        Stated(
            tenant=stated["tenant_id"],
            tier=stated["tier"],
            user=stated["user_id"],
            session=session,
            named=named,
        ),
        claims,
    )
    return _held_to_its_session(identity, headers)
