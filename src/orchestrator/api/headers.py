"""Reading a request: identity and addressing from headers or query, the body within its limits."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request

from orchestrator.admission.request import Addressed
from orchestrator.auth.identity import IN_HEADERS, IN_QUERY, Identifier, Identity, Stated
from orchestrator.errors import Problem
from orchestrator.protocol.send_body import SendBody

BODY_MAX: Final = 256 * 1024
BODY_SECONDS: Final = 4.0
"""A send is answered within 5 s, also one whose body never comes."""
HEADERS_MAX: Final = 32 * 1024

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

_decode_body: Final = msgspec.json.Decoder(SendBody).decode


def header(headers: Headers, name: str) -> str | None:
    """One header's value; '' counts as absent, and two of them are nobody's intention."""
    values = headers.getlist(name)
    if len(values) > 1:
        raise Problem("invalid_id", f"{name} is given {len(values)} times", parameter=name)
    return values[0].strip() or None if values else None


def check_size(headers: Headers) -> None:
    """Raise `headers_too_large` for more than any honest caller sends."""
    if sum(len(name) + len(value) for name, value in headers.raw) > HEADERS_MAX:
        raise Problem("headers_too_large", f"headers may have at most {HEADERS_MAX} bytes together")


def send_headers(headers: Headers) -> dict[str, str | None]:
    """The headers of a send; raises `missing_headers` that names every one that is missing."""
    found = {name: header(headers, name) for name in (*REQUIRED, *OPTIONAL)}
    missing = [name for name in REQUIRED if found[name] is None]
    if missing:
        raise Problem("missing_headers", f"send these headers too: {', '.join(missing)}", missing=missing)
    return found


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


def caller(identifier: Identifier, headers: Headers) -> Identity:
    """Who asks about a tenant's things; raises `missing_headers` without a tenant."""
    tenant = header(headers, "X-Tenant-ID")
    if tenant is None:
        raise Problem("missing_headers", "send this header too: X-Tenant-ID", missing=["X-Tenant-ID"])
    stated = Stated(tenant=tenant, tier=header(headers, "X-Tenant-Tier"), user=header(headers, "X-User-ID"))
    return identifier.identify(stated)


def reader(identifier: Identifier, headers: Headers, query: QueryParams, session: str) -> Identity:
    """Who wants to follow a session, by WebSocket or SSE.

    Behind a gateway the handshake's headers say so and query parameters may repeat them, not contradict; else either
    will do. Raises `missing_headers` that names the missing parameters.
    """
    stated = {
        "tenant_id": header(headers, "X-Tenant-ID"),
        "tier": header(headers, "X-Tenant-Tier"),
        "user_id": header(headers, "X-User-ID"),
    }
    asked = {
        "tenant_id": query.get("tenant_id") or None,
        "tier": query.get("tier") or query.get("tenant_tier") or None,
        "user_id": query.get("user_id") or None,
    }
    for name, value in asked.items():
        if stated[name] is not None and value is not None and value != stated[name]:
            code = "tier_mismatch" if name == "tier" else "access_denied"
            raise Problem(code, f"the parameter {name} contradicts the identity header")
        if not identifier.needs_secret:
            stated[name] = stated[name] or value
    missing = [name for name in ("tenant_id", "tier") if stated[name] is None]
    if missing:
        raise Problem("missing_headers", f"missing parameter: {', '.join(missing)}", missing=missing)
    named = IN_HEADERS if identifier.needs_secret else IN_QUERY
    tenant, tier, user = (stated[name] for name in ("tenant_id", "tier", "user_id"))
    return identifier.identify(
        Stated(tenant=tenant or "", tier=tier, user=user, session=session, named=named)
    )


async def send_body(request: Request) -> SendBody:
    """The body of a send, read within its limits; raises the `Problem` that says what is wrong."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem("unsupported_media_type", "send Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "send the body without a Content-Encoding")
    return parse_body(await _read(request))


def parse_body(raw: bytes) -> SendBody:
    """A send's body from JSON; raises `invalid_body` that says where and what."""
    try:
        return _decode_body(raw)
    except msgspec.ValidationError as error:
        raise Problem("invalid_body", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("invalid_body", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Problem("invalid_body", "nested too deep") from None


async def _read(request: Request) -> bytes:
    length: Any = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > BODY_MAX:
        raise Problem("payload_too_large", f"a body may have at most {BODY_MAX} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_MAX:
                    raise Problem("payload_too_large", f"a body may have at most {BODY_MAX} bytes")
    except TimeoutError:
        raise Problem("request_timeout", f"the body did not come within {BODY_SECONDS:g} seconds") from None
    except ClientDisconnect:
        raise Problem("request_timeout", "the connection ended before the body did") from None
    return bytes(body)
