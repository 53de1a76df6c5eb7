"""The channels of the AsyncAPI document, their messages, and who sends what."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from orchestrator.api.description import client_frames, server_frames
from orchestrator.api.description.callbacks import CALLBACKS
from orchestrator.api.description.endings import CLOSE_CODES, ENDING_CODES, CloseCode
from orchestrator.api.description.parameters import READER_QUERY, plain
from orchestrator.api.description.schemas import told
from orchestrator.api.description.values import Id, Schema, UserId
from orchestrator.protocol.identifiers import PATTERN
from orchestrator.protocol.task_message import TaskMessage
from orchestrator.protocol.tiers import TIERS, Tier

SERVER_FRAMES: Final = (*server_frames.EVENTS, *server_frames.ANSWERS)

# Which frames may answer which; what is not here is told by events, or by nothing.
REPLIES: Final[Mapping[str, tuple[str, ...]]] = {
    "Ping": ("Pong",),
    "Send": ("AcceptedFrame", "Complaint"),
    "Cancel": ("TaskError", "Complaint"),
    "Answer": ("TaskUpdate", "Complaint"),
    "Subscribe": ("Subscribed", "Complaint"),
    "Unsubscribe": ("Unsubscribed", "Complaint"),
    "Ack": (),
    "Auth": ("Authenticated", "Complaint"),
}


def channels() -> dict[str, Schema]:
    """The WebSocket and the two kinds of lists."""
    return {"session": _session(), "execution": _execution(), "callbacks": _callbacks()}


def operations() -> dict[str, Schema]:
    """What the service sends and receives, in its own words."""
    found: dict[str, Schema] = {
        "sendFrame": _operation("send", "session", "Send what happens in the session.", SERVER_FRAMES),
    }
    for frame in client_frames.FRAMES:
        received = _operation("receive", "session", _summary(frame), (frame,))
        if REPLIES[frame.__name__]:
            answers = [_in_channel("session", name) for name in REPLIES[frame.__name__]]
            received["reply"] = {"channel": {"$ref": "#/channels/session"}, "messages": answers}
        found[f"receive{frame.__name__}"] = received
    found["pushTask"] = _operation("send", "execution", "Push a task for an agent.", (TaskMessage,))
    found["takeCallback"] = _operation(
        "receive", "callbacks", "Take what an agent reports about a task.", CALLBACKS
    )
    return found


def _session() -> Schema:
    query = {name: schema | {"description": text} for name, (schema, text) in READER_QUERY.items()}
    headers: Schema = {
        "X-Tenant-ID": plain(Id) | told("The tenant."),
        "X-Tenant-Tier": plain(Tier) | told("Its tier."),
        "X-User-ID": plain(UserId) | told("Who reads."),
        "Authorization": {"type": "string", "pattern": "^Bearer "}
        | told("A token, where tokens are asked for."),
        "X-Gateway-Secret": {"type": "string"} | told("Needed where ORCHESTRATOR_GATEWAY_SECRET is set."),
    }
    return {
        "address": "/ws/{session_id}",
        "title": "A session",
        "description": "One WebSocket follows one session of one tenant. Frames with a `position` are events of"
        " its log: each has the offset of the last one plus one, or carries `covers` and has the last one's"
        " plus that. A client keeps the last position and resumes with it, at any replica. Where tokens are"
        " asked for, one comes in the `Authorization` header, in a first frame `auth` within 5 s, or is stood for by"
        " a `ticket`; what headers and parameters say may then be left out, not contradict. Else the identity comes"
        " from the headers of the handshake, and without a gateway parameters will do. Client frames have at"
        " most 64 KiB.",
        "servers": [{"$ref": "#/servers/service"}],
        "parameters": {"session_id": {"description": f"An id: `{PATTERN}`."}},
        "messages": _messages((*SERVER_FRAMES, *client_frames.FRAMES)),
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": query},
                "headers": {"type": "object", "properties": headers},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": [_row(code) for code in CLOSE_CODES],
        "x-ending-codes": ENDING_CODES,
    }


def _row(code: CloseCode) -> Schema:
    row: Schema = {"codes": list(code.codes), "meaning": code.meaning, "client": code.then}
    return row | {"reason": '{"retry_after_ms": n}'} if code.retry_after else row


def _execution() -> Schema:
    return {
        "address": "execution:{context_id}:{tier}",
        "title": "Tasks",
        "description": "A Redis list of tasks that wait for one agent, workflow or collection. The service"
        " pushes with `LPUSH`, an agent takes with `BRPOP`. A task can arrive twice, each time with a new `attempt`.",
        "servers": [{"$ref": "#/servers/redis"}],
        "parameters": {
            "context_id": {"description": "`<type>-<id>`, like `agent-123`.", "examples": ["agent-123"]},
            "tier": {"description": "The tier of the tenant.", "enum": list(TIERS)},
        },
        "messages": _messages((TaskMessage,)),
    }


def _callbacks() -> Schema:
    return {
        "address": "{prefix}:{tenant_id}:callbacks",
        "title": "Callbacks",
        "description": "A Redis list of what agents report. They push with `LPUSH`, at most 1 MiB each, and"
        " find its name in the task's `callback_queue`. The first callback that is no ending makes the task"
        " `running`. One of an older attempt or after the ending is dropped; one that cannot be used goes"
        " to the tenant's dead letters.",
        "servers": [{"$ref": "#/servers/redis"}],
        "parameters": {
            "prefix": {"description": "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX.", "default": "orchestrator"},
            "tenant_id": {"description": "The tenant of the task.", "examples": ["tenant-456"]},
        },
        "messages": _messages(CALLBACKS),
    }


def _messages(types: Iterable[Any]) -> Schema:
    return {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in types}


def _operation(action: str, channel: str, summary: str, types: Iterable[Any]) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [_in_channel(channel, kind.__name__) for kind in types],
    }


def _in_channel(channel: str, name: str) -> Schema:
    return {"$ref": f"#/channels/{channel}/messages/{name}"}


def _summary(kind: Any) -> str:
    return str(kind.__doc__)
