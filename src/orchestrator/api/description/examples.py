"""One conversation, as it looks in every part of the descriptions."""

from typing import Final

from orchestrator.api.description.values import MOMENT, POSITION, TASK, Schema

_LATER: Final = "2026-01-02T03:04:08.912345Z"
_END: Final = "9f2c41d07a5be816:46-1767323048912345"
_QUEUE: Final = "execution:agent-123:professional"

SEND: Final[Schema] = {"message": "How do I reset my password?", "metadata": {"page": "/account"}}

ACCEPTED: Final[Schema] = {
    "task_id": TASK,
    "status": "queued",
    "queue": _QUEUE,
    "session_id": "sess-abc123",
    "context_id": "agent-123",
    "position": POSITION,
    "created_at": MOMENT,
}

_ANSWER: Final[Schema] = {"response": "Open your account page.", "sources": [], "agent_info": {}}

LEDGER: Final[Schema] = {
    "task_id": TASK,
    "status": "completed",
    "code": None,
    "attempt": 1,
    "session_id": "sess-abc123",
    "context_id": "agent-123",
    "timeline": {
        "accepted_at": MOMENT,
        "queued_at": MOMENT,
        "started_at": "2026-01-02T03:04:05.701234Z",
        "first_chunk_at": "2026-01-02T03:04:06.100000Z",
        "ended_at": _LATER,
        "delivered_at": _LATER,
        "acknowledged_at": None,
    },
    "queue": _QUEUE,
    "queue_position": None,
    "eta_seconds": None,
    "waiting_for": None,
    "input_required": None,
    "result": _ANSWER,
    "error": None,
    "execution_time": 3.2,
    "tokens_used": {"total": 209},
    "position": _END,
}

ANSWER_BODY: Final[Schema] = {"question": "1", "answer": "yes"}

TICKET_BODY: Final[Schema] = {"origin": "https://app.example.com"}
TICKET: Final[Schema] = {"ticket": "Wn3qT8vLx0cJ5rYb1ZkP7mHd2sFgA9eUoI4iQwXyN6M", "expires_in": 30}

SESSION: Final[Schema] = {"position": _END, "tasks": [LEDGER]}

TASK_MESSAGE: Final[Schema] = {
    "action_type": "execution.agent_run",
    "task_id": TASK,
    "attempt": 1,
    "tenant_id": "tenant-456",
    "tenant_tier": "professional",
    "session_id": "sess-abc123",
    "user_id": "user-789",
    "conversation_id": "conv-def456",
    "execution_context": {
        "context_id": "agent-123",
        "context_type": "agent",
        "tenant_id": "tenant-456",
        "tenant_tier": "professional",
        "primary_agent_id": "agent-123",
        "agents": ["agent-123"],
        "collections": [],
        "metadata": {"request_source": "web", "client_version": "1.2.3"},
        "created_at": MOMENT,
    },
    "message": "How do I reset my password?",
    "message_type": "text",
    "user_info": {},
    "metadata": {"page": "/account"},
    "stream": True,
    "max_iterations": None,
    "callback_queue": "orchestrator:tenant-456:callbacks",
    "cancel_key": f"{{orchestrator:tenant-456:callbacks}}:cancel:{TASK}",
    "created_at": MOMENT,
    "deadline": "2026-01-02T03:09:05.678901Z",
    "traceparent": None,
}


def _frame(kind: str, data: Schema, **more: str | int) -> Schema:
    names = {"session_id": "sess-abc123", "tenant_id": "tenant-456"}
    return {"type": kind, "data": data, "timestamp": MOMENT, **names, **more}


_CHUNK: Final[Schema] = {"delta": "Open your ", "seq": 2, "seq_from": 0, "attempt": 1}
_MERGED: Final = "9f2c41d07a5be816:45-1767323046100000"
_FIRST: Final = "9f2c41d07a5be816:42-1767323045700000"
_COMPLETED: Final[Schema] = {
    **_ANSWER,
    "status": "completed",
    "execution_time": 3.2,
    "tokens_used": {"total": 209},
}

SERVER_FRAMES: Final[dict[str, Schema]] = {
    "ConnectionAck": _frame(
        "connection_ack",
        {
            "connection_id": "conn-0f3a9c51d2b74e68",
            "tenant_tier": "professional",
            "position": POSITION,
            "recovered": True,
            "ping_interval": 30.0,
        },
    ),
    "TaskUpdate": _frame("task_update", {"status": "queued", "attempt": 1}, task_id=TASK, position=_FIRST),
    "AgentChunk": _frame("agent_chunk", _CHUNK, task_id=TASK, position=_MERGED, covers=3),
    "AgentResponse": _frame("agent_response", _COMPLETED, task_id=TASK, position=_END),
    "TaskError": _frame(
        "error",
        {"status": "timeout", "code": "deadline", "message": "The agent did not answer in time."},
        task_id=TASK,
        position=_END,
    ),
    "Complaint": _frame(
        "error", {"code": "invalid_body", "message": "`agent_id` is missing", "request_id": "r-7"}
    ),
    "AcceptedFrame": _frame("accepted", {"request_id": "r-7", **ACCEPTED}),
    "Authenticated": _frame("authenticated", {"expires_at": "2026-01-02T04:04:05.000000Z"}),
    "Pong": _frame("pong", {"position": _END}),
    "Subscribed": _frame("subscribed", {"events": ["agent_chunk", "agent_response"]}),
    "Unsubscribed": _frame("unsubscribed", {"events": ["agent_response"]}),
}

CLIENT_FRAMES: Final[dict[str, Schema]] = {
    "Ping": {"type": "ping"},
    "Send": {
        "type": "send",
        "agent_id": "agent-123",
        "message": "And my e-mail address?",
        "request_id": "r-7",
    },
    "Cancel": {"type": "cancel", "task_id": TASK, "request_id": "r-8"},
    "Answer": {"type": "answer", "task_id": TASK, "question": "1", "answer": "yes", "request_id": "r-9"},
    "Subscribe": {"type": "subscribe", "events": ["agent_*"]},
    "Unsubscribe": {"type": "unsubscribe", "events": ["agent_chunk"]},
    "Ack": {"type": "ack", "position": _END},
    "Auth": {"type": "auth", "token": "eyJhbGciOi…"},
}


def _callback(status: str, **more: object) -> Schema:
    return {"action_type": "execution.callback", "task_id": TASK, "status": status, "attempt": 1, **more}


CALLBACKS: Final[dict[str, Schema]] = {
    "RunningCallback": _callback("running"),
    "StreamingCallback": _callback("streaming", seq=0, result={"delta": "Open your "}),
    "ProgressCallback": _callback("progress", result={"step": "searching"}),
    "InputRequiredCallback": _callback(
        "input_required",
        result={
            "prompt": "Shall I close the account?",
            "schema": {"type": "string", "enum": ["yes", "no"]},
            "question": "1",
            "expires_in": 3600,
        },
    ),
    "CompletedCallback": _callback(
        "completed", result=_ANSWER, execution_time=3.2, tokens_used={"total": 209}
    ),
    "FailedCallback": _callback(
        "failed", result={"error": {"type": "LookupError", "message": "No such account"}}
    ),
}

STREAM: Final = (
    "retry: 1000\n\n"
    'data: {"type":"connection_ack","data":{…},…}\n\n'
    f'id: {_END}\ndata: {{"type":"agent_response","data":{{…}},…,"position":"{_END}"}}\n\n'
    ": ping\n\n"
)
