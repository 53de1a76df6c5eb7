"""A send as the edges hand it in: who, to whom, what."""

import hashlib
from typing import Any, Final

import msgspec

from orchestrator.auth.identity import Identity
from orchestrator.protocol.context import ExecutionContext
from orchestrator.protocol.send_body import SendBody

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """What a send says about its target, as it was written: in headers, or in a `send` frame."""

    agent: str
    context_type: str = "agent"
    collection: str | None = None
    conversation: str | None = None
    request_source: str | None = None
    client_version: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None


class SendRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A send that is well-formed: made by `ContextHandler`, admitted by `Sender`."""

    identity: Identity
    session: str
    created: int
    """When it was read, microseconds by the server's clock."""
    context: ExecutionContext
    conversation: str | None
    body: SendBody
    idempotency_key: str | None
    traceparent: str | None

    @property
    def contexts(self) -> list[str]:
        """Everything that the tenant must be allowed to use."""
        named = [self.context.context_id, *self.context.agents, *self.context.collections]
        return list(dict.fromkeys(named))

    def fingerprint(self) -> str:
        """What makes a repeated Idempotency-Key the same request: body, agent, context, collection and user."""
        context = self.context
        told: list[Any] = [
            self.body,
            context.context_id,
            context.context_type,
            context.primary_agent_id,
            context.collections,
            self.identity.user,
        ]
        return hashlib.sha256(_encode(told)).hexdigest()
