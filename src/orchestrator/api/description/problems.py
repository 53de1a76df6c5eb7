"""Refusals as the descriptions have them: the document, its codes, and what a caller does about each."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct

from orchestrator.api.bodies import BODY_MAX
from orchestrator.api.description.values import TASK, Left, Schema, TaskId, ref
from orchestrator.auth.claims import Scope
from orchestrator.delivery.answers import ANSWER_BYTES_MAX
from orchestrator.errors import ALL_CODES, CODES, Code
from orchestrator.protocol.context import CONTEXT_TYPES
from orchestrator.protocol.tiers import TIERS


class Problem(Struct):
    """A refusal (RFC 9457)."""

    type: Annotated[str, Meta(pattern="^urn:orchestrator:error:[a-z_]+$")]
    title: str
    status: int
    detail: Annotated[str, Meta(description="One sentence for the caller.")]
    code: Code
    missing: Annotated[list[str], Meta(description="Every header or parameter that is missing.")] | Left = (
        UNSET
    )
    allowed: Annotated[list[str], Meta(description="What would have been valid.")] | Left = UNSET
    parameter: Annotated[str, Meta(description="Which header or parameter is wrong.")] | Left = UNSET
    context_id: Annotated[str, Meta(description="What the tenant may not use.")] | Left = UNSET
    task_id: Annotated[TaskId, Meta(description="The task that may have been accepted.")] | Left = UNSET
    scope: Annotated[Scope, Meta(description="What the token lacks.")] | Left = UNSET
    retry_after: Annotated[int, Meta(ge=1, description="Seconds; equals `Retry-After`.")] | Left = UNSET


class Refusal(Struct, frozen=True):
    """A row of docs/errors.md: when a code is given, what a client does about it, and an example's members."""

    when: str
    then: str
    detail: str
    members: Mapping[str, Any] = {}


_MEND: Final = "mend the request"

REFUSALS: Final[Mapping[Code, Refusal]] = {
    "missing_headers": Refusal(
        "required headers or parameters are absent or empty; `missing` lists every one",
        _MEND,
        "send these headers too: X-Session-ID",
        {"missing": ["X-Session-ID"]},
    ),
    "invalid_tier": Refusal(
        "the tier is not one of the four in `allowed`",
        _MEND,
        "'gold' is not one of the tiers",
        {"allowed": list(TIERS)},
    ),
    "invalid_context_type": Refusal(
        "`X-Context-Type` is not one of the three in `allowed`",
        _MEND,
        "'team' is not a context type",
        {"allowed": list(CONTEXT_TYPES)},
    ),
    "invalid_id": Refusal(
        "an id, a user id, a label, an idempotency key or a parameter is malformed, or a header is given twice",
        _MEND,
        "X-Agent-ID must be 1 to 128 letters, digits, '-', '_', '.', '@' or '+', and not begin with '.', '@' or '+'",
        {"parameter": "X-Agent-ID"},
    ),
    "invalid_body": Refusal(
        "the body is no JSON object, has an unknown member or a value out of bounds; `detail` says where",
        _MEND,
        "Object contains unknown field `mesage`",
    ),
    "unauthorized": Refusal(
        "credentials are missing, wrong, expired or revoked; comes with `WWW-Authenticate`",
        "get valid credentials, then repeat",
        "X-Gateway-Secret is missing or wrong",
    ),
    "access_denied": Refusal(
        "the tenant is unknown or suspended, may not use what `context_id` names, the origin is not allowed, or tenant,"
        " agent or user are not the token's",
        "do not repeat; an operator has to grant it",
        "the tenant may not use agent-123",
        {"context_id": "agent-123"},
    ),
    "tier_mismatch": Refusal(
        "the tenant is of another tier than the request says, or its token",
        "do not repeat; state the tenant's own tier",
        "the tenant is not of this tier",
    ),
    "session_denied": Refusal(
        "the session belongs to another user of the tenant, or the token is for another session",
        "do not repeat; begin another session",
        "the session belongs to another user",
    ),
    "insufficient_scope": Refusal(
        "the token does not reach as far as this route; `scope` says what it lacks",
        "do not repeat; get a token with the scope",
        "this needs a token with the scope metrics",
        {"scope": "metrics"},
    ),
    "not_found": Refusal(
        "there is no such route, task, session or record; also for what belongs to somebody else",
        "do not repeat",
        "there is no such task",
    ),
    "method_not_allowed": Refusal(
        "the route exists, not with this method; `Allow` lists its methods", _MEND, "Method not allowed"
    ),
    "request_timeout": Refusal(
        "the headers or the body did not come in time", "repeat", "the body did not come within 4 seconds"
    ),
    "session_busy": Refusal(
        "a task of the session has no ending yet and the turn policy is `reject`",
        "wait for the ending, then repeat",
        "a task of this session is under way",
    ),
    "not_waiting": Refusal(
        "nobody waits for this answer: the question was answered otherwise, its time is over, or it was never asked",
        "read the task's ledger",
        "the task does not wait for this answer, or not any more",
    ),
    "already_exists": Refusal(
        "what an administrator would create is there already",
        "do not repeat; change it, or choose another id",
        "tenant acme exists already",
    ),
    "payload_too_large": Refusal(
        f"the body is over {BODY_MAX // 1024} KiB, or an answer over {ANSWER_BYTES_MAX // 1024} KiB",
        "send less",
        f"a body may have at most {BODY_MAX} bytes",
    ),
    "unsupported_media_type": Refusal(
        "the body is not `application/json`, or has a `Content-Encoding`",
        _MEND,
        "send Content-Type: application/json",
    ),
    "idempotency_conflict": Refusal(
        "the `Idempotency-Key` was used within 24 hours for another request of the session",
        "do not repeat; a new request needs a new key",
        "this Idempotency-Key was used with another request",
    ),
    "rate_limited": Refusal(
        "session or tenant sent too much of late (`RateLimit` says which), the tenant has too many connections, or a"
        " user asked for too many tickets",
        "repeat after `retry_after` seconds",
        "too many messages of this tenant within a minute",
        {"retry_after": 12},
    ),
    "queue_full": Refusal(
        "the tenant has as many tasks without an ending as it may",
        "repeat after `retry_after` seconds, better after an ending",
        "the tenant has as many open tasks as its tier allows",
        {"retry_after": 1},
    ),
    "headers_too_large": Refusal("the headers are too large", "send less", "Headers too large"),
    "internal": Refusal(
        "a fault of the service; its log says more than the answer",
        "repeat with the same `Idempotency-Key`",
        "something went wrong here",
    ),
    "unavailable": Refusal(
        "Redis or the database is away, or there is no room for a connection; no message was accepted, and `detail`"
        " says what became of an administrator's change",
        "repeat after `retry_after` seconds",
        "Redis cannot be reached or takes no writes",
        {"retry_after": 1},
    ),
    "outcome_unknown": Refusal(
        "Redis did not say what became of it, as when the connection breaks: it may be accepted as `task_id`",
        "repeat with the same `Idempotency-Key`",
        "Redis did not say what became of it; repeat with the same Idempotency-Key",
        {"retry_after": 1, "task_id": TASK},
    ),
}

ANYWHERE: Final[tuple[Code, ...]] = ("request_timeout", "headers_too_large", "internal")
"""What every route may answer."""

GUARDED: Final[tuple[Code, ...]] = ("unauthorized", "access_denied")
"""What every route but the health routes may answer besides."""

SCOPED: Final[tuple[Code, ...]] = (*GUARDED, "insufficient_scope")
"""What every route that is not for everybody may answer besides."""

HEADERS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}


def problem_example(code: Code) -> Schema:
    """The document of a code, as a caller may get it."""
    status, title = CODES[code]
    told = REFUSALS[code]
    head = {"type": f"urn:orchestrator:error:{code}", "title": title, "status": status}
    return {**head, "detail": told.detail, "code": code, **told.members}


def refusals(*codes: Code, before: Iterable[Code] = SCOPED) -> dict[str, Schema]:
    """The responses of an operation that may refuse with these codes, by status; `before`: with what it is guarded."""
    wanted = {*codes, *ANYWHERE, *before}
    by_status: dict[int, list[Code]] = {}
    for code in ALL_CODES:
        if code in wanted:
            by_status.setdefault(CODES[code][0], []).append(code)
    return {str(status): _response(status, found) for status, found in by_status.items()}


def _response(status: int, codes: list[Code]) -> Schema:
    response: Schema = {
        "description": "; ".join(f"`{code}`: {REFUSALS[code].when}" for code in codes) + ".",
        "content": {
            "application/problem+json": {"schema": _narrowed(status, codes), "examples": _examples(codes)}
        },
    }
    names = HEADERS_OF.get(str(status), ())
    return response | ({"headers": {name: header_ref(name) for name in names}} if names else {})


def _narrowed(status: int, codes: list[Code]) -> Schema:
    return {"allOf": [ref("Problem")], "properties": {"status": {"const": status}, "code": {"enum": codes}}}


def _examples(codes: Iterable[Code]) -> dict[str, Schema]:
    return {code: {"summary": CODES[code][1], "value": problem_example(code)} for code in codes}


def header_ref(name: str) -> Schema:
    """A reference to a response header of the document."""
    return {"$ref": f"#/components/headers/{name}"}
