"""A task as agents get it from `execution:{context_id}:{tier}` (contract §5)."""

from typing import Any, Final

import msgspec

from orchestrator.protocol.context import ExecutionContext
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.times import rfc3339


class TaskMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One JSON object per attempt, members in the contract's order."""

    action_type: str = "execution.agent_run"
    task_id: str
    attempt: int = 1
    tenant_id: str
    tenant_tier: Tier
    session_id: str
    user_id: str | None
    conversation_id: str | None
    execution_context: ExecutionContext
    message: str
    message_type: str
    user_info: dict[str, Any]
    metadata: dict[str, Any]
    stream: bool
    max_iterations: int | None
    callback_queue: str
    cancel_key: str
    created_at: str
    deadline: str
    traceparent: str | None


_read: Final = msgspec.json.Decoder(TaskMessage).decode
_write: Final = msgspec.json.Encoder().encode


def for_attempt(payload: bytes, attempt: int, deadline: int) -> bytes:
    """A task as it goes to its queue for this attempt; `payload` is the first one's, `deadline` in microseconds."""
    if attempt == 1:
        return payload
    return _write(msgspec.structs.replace(_read(payload), attempt=attempt, deadline=rfc3339(deadline)))
