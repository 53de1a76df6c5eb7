"""The operations of `/api/chat` and `/api/auth`."""

from typing import Final

from orchestrator.api.bodies import BODY_MAX
from orchestrator.api.description import examples
from orchestrator.api.description.operation import answer, json_of, operation
from orchestrator.api.description.parameters import (
    CALLER,
    READER,
    SEND_HEADERS,
    SESSION_PATH,
    TASK_PATH,
    TICKET_HEADERS,
)
from orchestrator.api.description.problems import header_ref, refusals
from orchestrator.api.description.values import Schema
from orchestrator.delivery.answers import ANSWER_BYTES_MAX
from orchestrator.errors import Code

_LIMITS: Final = ("RateLimit-Policy", "RateLimit")
_HEADERS: Final[tuple[Code, ...]] = ("missing_headers", "invalid_id", "invalid_tier", "tier_mismatch")
_SEND_REFUSALS: Final[tuple[Code, ...]] = (
    *_HEADERS,
    "invalid_context_type",
    "invalid_body",
    "session_denied",
    "session_busy",
    "payload_too_large",
    "unsupported_media_type",
    "idempotency_conflict",
    "rate_limited",
    "queue_full",
    "unavailable",
    "outcome_unknown",
)


def chat_paths() -> dict[str, Schema]:
    """Path items of sending, tasks, sessions and the tenant's figures."""
    return {
        "/api/chat/send": {"post": _send()},
        "/api/chat/tasks/{task_id}": {"get": _task()},
        "/api/chat/tasks/{task_id}/cancel": {"post": _cancel()},
        "/api/chat/tasks/{task_id}/answer": {"post": _answer()},
        "/api/chat/sessions/{session_id}": {"get": _session()},
        "/api/chat/sessions/{session_id}/events": {"get": _events()},
        "/api/chat/stats": {"get": _stats()},
        "/api/auth/ticket": {"post": _ticket()},
    }


def _send() -> Schema:
    accepted = answer(
        "The task is recorded and will end exactly once.",
        json_of("Accepted", examples.ACCEPTED),
        ("Location", "Idempotency-Replayed", *_LIMITS),
    )
    return operation(
        "send",
        "Chat",
        "Send a message to an agent, a workflow or a collection.",
        {"202": accepted, **_told_of_limits(refusals(*_SEND_REFUSALS))},
        description="202: the task will end exactly once. 503 `unavailable` and any 4xx: certainly not accepted. 503"
        " `outcome_unknown`: perhaps; repeat with the same `Idempotency-Key`. The answer comes within 5 seconds."
        f" A body has at most {BODY_MAX // 1024} KiB and 32 levels. The headers `RateLimit` and"
        " `RateLimit-Policy` come with every answer that the limits were looked at for.",
        parameters=SEND_HEADERS,
        body={"required": True, "content": json_of("SendBody", examples.SEND)},
    )


def _told_of_limits(responses: dict[str, Schema]) -> dict[str, Schema]:
    limits = {name: header_ref(name) for name in _LIMITS}
    for status in ("403", "422", "429"):
        responses[status]["headers"] = responses[status].get("headers", {}) | limits
    return responses


def _task() -> Schema:
    return operation(
        "showTask",
        "Chat",
        "Show the ledger of a task.",
        {
            "200": answer("The ledger.", json_of("Ledger", examples.LEDGER)),
            **refusals(*_HEADERS, "not_found", "unavailable"),
        },
        parameters=[TASK_PATH, *CALLER],
    )


def _cancel() -> Schema:
    return operation(
        "cancelTask",
        "Chat",
        "Cancel a task.",
        {
            "200": answer("The ledger as it is now.", json_of("Ledger", examples.LEDGER)),
            **refusals(*_HEADERS, "not_found", "unavailable"),
        },
        description="The task is `cancelled` for every viewer before the answer is sent; an ended task"
        " stays as it ended.",
        parameters=[TASK_PATH, *CALLER],
    )


def _answer() -> Schema:
    return operation(
        "answerTask",
        "Chat",
        "Answer what the agent of a task has asked.",
        {
            "200": answer("The ledger as it is now.", json_of("Ledger", examples.LEDGER)),
            **refusals(
                *_HEADERS,
                "invalid_body",
                "not_found",
                "not_waiting",
                "payload_too_large",
                "unsupported_media_type",
                "unavailable",
            ),
        },
        description="The `input_required` of the ledger says what is asked, and until when. A question is answered"
        " once: the same answer again gets 200, another one 409. It is held against the question's schema, but for"
        f" regular expressions, and has at most {ANSWER_BYTES_MAX // 1024} KiB.",
        parameters=[TASK_PATH, *CALLER],
        body={"required": True, "content": json_of("AnswerBody", examples.ANSWER_BODY)},
    )


def _session() -> Schema:
    return operation(
        "showSession",
        "Chat",
        "Show where a session stands, with its open and recent tasks.",
        {
            "200": answer("The session.", json_of("SessionView", examples.SESSION)),
            **refusals(*_HEADERS, "not_found", "session_denied", "unavailable"),
        },
        description="What a client shows when it cannot resume from its position.",
        parameters=[SESSION_PATH, *CALLER],
    )


def _events() -> Schema:
    stream: Schema = {"text/event-stream": {"schema": {"type": "string"}, "example": examples.STREAM}}
    return operation(
        "followSession",
        "Chat",
        "Follow a session by Server-Sent Events.",
        {
            "200": answer("A stream that does not end by itself.", stream),
            **refusals(*_HEADERS, "session_denied", "rate_limited", "unavailable"),
        },
        description="`data` is a frame of the WebSocket on one line (see /asyncapi.json), `id` its position;"
        " there is no `event`. First comes a `connection_ack` without id. A comment shows every ping"
        " interval that the stream lives. `EventSource` cannot send a token: it comes with a `ticket`.",
        parameters=[SESSION_PATH, *READER],
    )


def _stats() -> Schema:
    return operation(
        "showTenantStats",
        "Chat",
        "Show the figures of a tenant.",
        {
            "200": answer("The figures.", json_of("TenantStats")),
            **refusals(*_HEADERS, "session_denied", "unavailable"),
        },
        parameters=CALLER,
    )


def _ticket() -> Schema:
    return operation(
        "createTicket",
        "Chat",
        "Ask for a ticket that opens a WebSocket or a stream of events.",
        {
            "201": answer("The ticket.", json_of("IssuedTicket", examples.TICKET)),
            **refusals(
                *_HEADERS,
                "invalid_body",
                "session_denied",
                "payload_too_large",
                "unsupported_media_type",
                "rate_limited",
                "unavailable",
            ),
        },
        description="It stands for the token's user in this session, and for the origin that the request comes from or"
        " names. A WebSocket uses it up; a stream of events may come back with it while the token lives. Given for"
        " a bearer token only: 401 while identity comes from headers.",
        parameters=TICKET_HEADERS,
        body={"required": False, "content": json_of("TicketBody", examples.TICKET_BODY)},
    )
