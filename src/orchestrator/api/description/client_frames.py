"""Frames from the client on a WebSocket (contract §4)."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct

from orchestrator.api.description.values import Id, Left, Position, TaskId, UserId
from orchestrator.protocol.context import ContextType
from orchestrator.protocol.questions import AnswerBody
from orchestrator.protocol.send_body import SendBody

RequestId = Annotated[str, Meta(max_length=128, description="The client's own; comes back in the answer.")]
Patterns = Annotated[
    list[str],
    Meta(min_length=1, examples=[["agent_*"]], description="Event types, or patterns of them with `*`."),
]


class Ping(Struct, tag_field="type", tag="ping"):
    """Ask for a sign of life. Has a budget of its own, with `ack`."""


class Send(SendBody, tag_field="type", tag="send", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send a message: the body of the POST, and what its headers say."""

    agent_id: Annotated[Id, Meta(description="Who answers; for `workflow` it names the workflow.")]
    context_type: ContextType | None = "agent"
    collection_id: Id | None = None
    user_id: (
        Annotated[UserId, Meta(description="Who asks, where the socket names nobody; may not contradict it.")]
        | None
    ) = None
    conversation_id: Id | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=130)] | None = None
    request_id: RequestId | Left = UNSET


class Cancel(Struct, tag_field="type", tag="cancel"):
    """Cancel a task. Its ending is the answer; an `error` says that there is no such task."""

    task_id: TaskId
    request_id: RequestId | Left = UNSET


class Answer(
    AnswerBody, tag_field="type", tag="answer", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Answer what the agent of a task has asked. The task's next update tells everybody; an `error` says why not."""

    task_id: TaskId
    request_id: RequestId | Left = UNSET


class Subscribe(Struct, tag_field="type", tag="subscribe"):
    """Choose event types: the first choice narrows, further ones add. The others are covered by the next frame."""

    events: Patterns
    request_id: RequestId | Left = UNSET


class Unsubscribe(Struct, tag_field="type", tag="unsubscribe"):
    """Give up event types."""

    events: Patterns
    request_id: RequestId | Left = UNSET


class Ack(Struct, tag_field="type", tag="ack"):
    """Say that everything up to a position has arrived; ledgers tell it as `acknowledged_at`."""

    position: Position


class Auth(Struct, tag_field="type", tag="auth"):
    """Bring a token: as the first frame, within 5 s, of a socket that came without one; later a newer one of the same
    user. While identity comes from headers the answer is an `error`: `not_supported`.
    """

    token: str


FRAMES: Final = (Ping, Send, Cancel, Answer, Subscribe, Unsubscribe, Ack, Auth)
