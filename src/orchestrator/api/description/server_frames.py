"""Frames from the server on a WebSocket, and in the events of a stream (contract §4)."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

from orchestrator.admission.send import Accepted
from orchestrator.api.description.values import Id, Left, Moment, Position, Seconds, TaskId
from orchestrator.errors import Code
from orchestrator.protocol.events import ChunkData, EventType
from orchestrator.protocol.tiers import Tier

ComplaintCode = Literal[Code, "invalid_frame", "unknown_type", "not_supported"]
"""The codes of refusals, and those that only a frame can have."""


class Envelope(Struct, kw_only=True):
    """What every frame has."""

    timestamp: Moment
    session_id: Id
    tenant_id: Id


class EventEnvelope(Envelope, kw_only=True):
    """What every event of the log has besides; `timestamp` is the event's own, on replay too."""

    task_id: TaskId
    position: Position
    covers: (
        Annotated[
            int,
            Meta(ge=1, description="How many events it stands for; its offset is the last one's plus this."),
        ]
        | Left
    ) = UNSET


class AckData(Struct):
    """Where the reader stands."""

    connection_id: str
    tenant_tier: Tier
    position: Annotated[Position, Meta(description="Where the log stands.")]
    recovered: Annotated[bool, Meta(description="Whether everything after the position asked for will come.")]
    ping_interval: Annotated[Seconds, Meta(description="How often a client may send `ping`.")]


class ConnectionAck(Envelope, tag_field="type", tag="connection_ack", kw_only=True):
    """The first frame."""

    data: AckData


class UpdateData(Struct):
    """What is known of a task."""

    status: Literal["queued", "running", "progress", "retrying", "input_required"]
    attempt: Annotated[int, Meta(ge=1)]
    detail: Annotated[dict[str, Any], Meta(description="The `result` of the agent's callback.")] | Left = (
        UNSET
    )
    queue_position: (
        Annotated[int | None, Meta(description="Of a task that no agent has: 1 is next.")] | Left
    ) = UNSET
    eta_seconds: (
        Annotated[
            tuple[int, int] | None,
            Meta(description="Seconds until an agent begins with it, at least and at most. No promise."),
        ]
        | Left
    ) = UNSET
    waiting_for: Annotated[str | None, Meta(description="Why no agent has it yet, in words.")] | Left = UNSET


class TaskUpdate(EventEnvelope, tag_field="type", tag="task_update", kw_only=True):
    """Something about a task other than its answer. On `retrying` a client discards the text so far."""

    data: UpdateData


class AgentChunk(EventEnvelope, tag_field="type", tag="agent_chunk", kw_only=True):
    """A piece of the answer, or several merged into one."""

    data: ChunkData


class AnswerData(Struct):
    """The answer; further members of the callback's `result` are kept."""

    response: Annotated[Any, Meta(description="As the agent gave it; else the joined pieces, else null.")]
    sources: Annotated[Any, Meta(description="As the agent gave them; [] where it gave none.")]
    agent_info: Annotated[Any, Meta(description="As the agent gave it; {} where it gave none.")]
    status: Literal["completed"]
    execution_time: Annotated[Any, Meta(description="As the agent told it.")]
    tokens_used: Annotated[Any, Meta(description="As the agent told it.")]


class AgentResponse(EventEnvelope, tag_field="type", tag="agent_response", kw_only=True):
    """The ending of a task that completed."""

    data: AnswerData


class FailureData(Struct):
    """Why a task did not complete."""

    status: Literal["failed", "timeout", "cancelled"]
    code: Annotated[
        str, Meta(description="An ending code of the service, or the agent's own.", max_length=64)
    ]
    message: Annotated[str, Meta(max_length=4000)]
    into: Annotated[TaskId, Meta(description="With `merged`: the task that carries it on.")] | Left = UNSET


class TaskError(EventEnvelope, tag_field="type", tag="error", kw_only=True):
    """The ending of a task that did not complete."""

    data: FailureData


class ComplaintData(Struct):
    """What is wrong with what the client sent."""

    code: ComplaintCode
    message: str
    request_id: Annotated[str, Meta(max_length=128)] | Left = UNSET
    retry_after: Seconds | Left = UNSET


class Complaint(Envelope, tag_field="type", tag="error", kw_only=True):
    """A complaint about what the client sent; the socket stays open."""

    data: ComplaintData


class AcceptedData(Accepted, frozen=True, kw_only=True):
    """The body of the 202, with the request's own id."""

    request_id: Annotated[Any, Meta(description="As it was sent.")] | Left = UNSET


class AcceptedFrame(Envelope, tag_field="type", tag="accepted", kw_only=True):
    """The answer to `send`."""

    data: AcceptedData


class TokenData(Struct):
    """How long the token lets the socket stay."""

    expires_at: Annotated[
        Moment, Meta(description="Then the socket is closed with 4401, unless `auth` comes before.")
    ]


class Authenticated(Envelope, tag_field="type", tag="authenticated", kw_only=True):
    """The answer to `auth`: the token was taken."""

    data: TokenData


class PongData(Struct):
    """Up to where the client has everything that it wants: one that filters resumes from here."""

    position: Position


class Pong(Envelope, tag_field="type", tag="pong", kw_only=True):
    """The answer to `ping`."""

    data: PongData


class ChoiceData(Struct):
    """The event types that come from now on."""

    events: list[EventType]


class Subscribed(Envelope, tag_field="type", tag="subscribed", kw_only=True):
    """The answer to `subscribe`."""

    data: ChoiceData


class Unsubscribed(Envelope, tag_field="type", tag="unsubscribed", kw_only=True):
    """The answer to `unsubscribe`."""

    data: ChoiceData


EVENTS = (TaskUpdate, AgentChunk, AgentResponse, TaskError)
ANSWERS = (ConnectionAck, Complaint, AcceptedFrame, Authenticated, Pong, Subscribed, Unsubscribed)
