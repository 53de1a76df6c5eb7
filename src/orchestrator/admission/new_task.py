"""A task as it will be recorded and pushed, if it is admitted."""

import secrets
from typing import Final

import msgspec

from orchestrator.admission.request import SendRequest
from orchestrator.broker.keys import Keys, execution_queue
from orchestrator.protocol.task_message import TaskMessage
from orchestrator.protocol.times import rfc3339

_encode: Final = msgspec.json.Encoder().encode


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing has been decided about it; moments are microseconds by the server's clock."""

    tenant: str
    session: str
    task: str
    queue: str
    payload: bytes
    created: int
    deadline: int


def new_task(request: SendRequest, keys: Keys, default_timeout: int) -> NewTask:
    """The task that `request` asks for, with an id of 128 random bits."""
    task, tenant = f"task-{secrets.token_urlsafe(16)}", request.identity.tenant
    deadline = request.created + int((request.body.timeout or default_timeout) * 1_000_000)
    return NewTask(
        tenant=tenant,
        session=request.session,
        task=task,
        queue=execution_queue(request.context.context_id, request.context.tenant_tier),
        payload=_encode(_message(request, keys, task, deadline)),
        created=request.created,
        deadline=deadline,
    )


def _message(request: SendRequest, keys: Keys, task: str, deadline: int) -> TaskMessage:
    body, tenant = request.body, request.identity.tenant
    return TaskMessage(
        task_id=task,
        tenant_id=tenant,
        tenant_tier=request.context.tenant_tier,
        session_id=request.session,
        user_id=request.identity.user or None,
        conversation_id=request.conversation,
        execution_context=request.context,
        message=body.message,
        message_type=body.message_type,
        user_info=body.user_info or {},
        metadata=body.metadata or {},
        stream=body.stream,
        max_iterations=body.max_iterations,
        callback_queue=keys.callbacks(tenant),
        cancel_key=keys.cancel(tenant, task),
        created_at=rfc3339(request.created),
        deadline=rfc3339(deadline),
        traceparent=request.traceparent,
    )
