"""A task as an agent gets it, and the envelope it comes in (contract §5)."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from orchestrator.protocol.context import ExecutionContext
from orchestrator.protocol.tiers import Tier

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Task(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"tier": "tenant_tier", "context": "execution_context"},
):
    """One message that waits for an answer."""

    task_id: str
    attempt: int = 1
    """Counts the runs of this task, from 1; a task can arrive twice."""
    tenant_id: str
    tier: Tier
    session_id: str
    user_id: str | None = None
    conversation_id: str | None = None
    context: ExecutionContext
    """Which agent, workflow or collection is asked, and with which collections."""
    message: str
    user_info: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    deadline: _Moment
    """The service ends the task then; an answer that is not complete by then is lost."""
    stream: bool = True
    """Whether viewers see chunks as they come; where not, they are kept for the ending."""
    max_iterations: int | None = None
    traceparent: str | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a task that only the worker needs."""

    action_type: Literal["execution.agent_run"]
    callback_queue: str
    cancel_key: str | None = None


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The least that must be readable for a task to be failed."""

    task_id: str
    callback_queue: str


class Assignment(msgspec.Struct, frozen=True):
    """A task with the ways to report on it and to learn of its cancellation."""

    task: Task
    envelope: Envelope


class UnreadableTaskError(Exception):
    """A payload that is no task; `address` is where to say so, where that could be read."""

    def __init__(self, reason: str, address: Address | None) -> None:
        self.reason = reason
        self.address = address
        super().__init__(reason)


def read_assignment(payload: bytes) -> Assignment:
    """The assignment that `payload` spells, else UnreadableTaskError."""
    try:
        return Assignment(
            msgspec.json.decode(payload, type=Task), msgspec.json.decode(payload, type=Envelope)
        )
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreadableTaskError(str(error), _address(payload)) from error


def _address(payload: bytes) -> Address | None:
    try:
        return msgspec.json.decode(payload, type=Address)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
