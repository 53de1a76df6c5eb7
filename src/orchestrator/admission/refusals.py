"""What a send is told that was not admitted."""

from typing import Any, Final

from orchestrator.admission.limits import limit_headers, whole_seconds
from orchestrator.broker.admissions import AdmitReply
from orchestrator.errors import Code, Problem

_DETAILS: Final[dict[str, tuple[Code, str]]] = {
    "conflict": ("idempotency_conflict", "this Idempotency-Key was used with another request"),
    "session_denied": ("session_denied", "the session belongs to another user"),
    "access_denied": ("access_denied", "the tenant is unknown or suspended"),
    "tier_mismatch": ("tier_mismatch", "the tenant is not of this tier"),
    "rate_limited": ("rate_limited", "too many messages"),
    "queue_full": ("queue_full", "too many tasks are waiting for their answers"),
    "late": ("unavailable", "Redis took too long"),
    "session_busy": (
        "session_busy",
        "a task of this session is under way",
    ),
}
_WHY: Final = {
    "session": "too many messages in this session within an hour",
    "tenant": "too many messages of this tenant within a minute",
    "count": "the tenant has as many open tasks as its tier allows",
    "bytes": "the tenant's open tasks take as much room as is allowed",
    "turns": "more messages of this session wait than one may take the place of; cancel some",
}


def refusal_of(reply: AdmitReply) -> Problem:
    """What the script refused, with the state of the limits."""
    code, detail = _DETAILS[reply.outcome]
    members: dict[str, Any] = {}
    if reply.outcome == "access_denied" and reply.detail != "@":
        detail, members = f"the tenant may not use {reply.detail}", {"context_id": reply.detail}
    retry_after = None
    if code in {"rate_limited", "queue_full", "unavailable"}:
        retry_after = float(whole_seconds(reply.retry_after))
        detail = _WHY.get(reply.detail, detail)
    problem = Problem(code, detail, retry_after=retry_after, **members)
    problem.headers = limit_headers(reply)
    return problem
