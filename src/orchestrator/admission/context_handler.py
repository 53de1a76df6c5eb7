"""From what a send says of itself to an `ExecutionContext` that the tenant may use."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from orchestrator.admission.access import Access
from orchestrator.admission.request import Addressed, SendRequest
from orchestrator.auth.identity import Identity, require_id
from orchestrator.errors import Problem
from orchestrator.protocol.context import CONTEXT_TYPES, ContextType, ExecutionContext, canonical_id
from orchestrator.protocol.identifiers import is_valid_idempotency_key
from orchestrator.protocol.send_body import SendBody, fault_of
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.times import rfc3339

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z").match
_LABEL_MAX: Final = 255


class ContextHandler:
    """Validates what a send addresses, and answers for the tenant's access to it."""

    def __init__(self, access: Access, timeout_max: int) -> None:
        self._access = access
        self._timeout_max = timeout_max

    def read(
        self, identity: Identity, session: str, tier: Tier, addressed: Addressed, body: SendBody, now: int
    ) -> SendRequest:
        """A well-formed send; raises the `Problem` that names what is wrong. `now` is in microseconds."""
        fault = fault_of(body, self._timeout_max)
        if fault:
            raise Problem("invalid_body", fault)
        target = _target(
            identity.tenant,
            tier,
            addressed.context_type,
            addressed.agent,
            addressed.collection,
            addressed.request_source,
            addressed.client_version,
        )
        context = msgspec.structs.replace(target, created_at=rfc3339(now))
        _check_agent(identity, context)
        return SendRequest(
            identity=identity,
            session=session,
            created=now,
            context=context,
            conversation=_optional_id("X-Conversation-ID", addressed.conversation),
            body=body,
            idempotency_key=_idempotency_key(addressed.idempotency_key),
            traceparent=_traceparent(addressed.traceparent),
        )

    async def _check_database_access(self, tenant: str, contexts: Sequence[str], generation: str) -> None:
        """Ask the database what the tenant may use, and keep the answer; raises `unavailable` when it is away."""
        await self._access.learn(tenant, contexts, generation)

    async def settle_access(self, request: SendRequest, generation: str) -> None:
        """Have the answer about this send's contexts in the cache, for the next try."""
        await self._check_database_access(request.identity.tenant, request.contexts, generation)


# Many sends name the same few targets: what does not depend on the message is kept. Nobody changes it, not `metadata`
# either.
@lru_cache(1024)
def _target(
    tenant: str,
    tier: Tier,
    context_type: str,
    agent: str,
    collection: str | None,
    request_source: str | None,
    client_version: str | None,
) -> ExecutionContext:
    """What a send addresses, with `created_at` left empty."""
    kind = _context_type(context_type)
    require_id("X-Agent-ID", agent)
    if collection is not None:
        require_id("X-Collection-ID", collection)
    elif kind == "collection":
        raise Problem("missing_headers", "a collection needs X-Collection-ID", missing=["X-Collection-ID"])
    agent = canonical_id("workflow" if kind == "workflow" else "agent", agent)
    collections = [canonical_id("collection", name) for name in (collection,) if name is not None]
    for name in (agent, *collections):
        require_id("the id with its type in front", name)
    return ExecutionContext(
        context_id=collections[0] if kind == "collection" else agent,
        context_type=kind,
        tenant_id=tenant,
        tenant_tier=tier,
        primary_agent_id=agent,
        agents=() if kind == "workflow" else (agent,),
        collections=tuple(collections),
        metadata=_labels(request_source, client_version),
        created_at="",
    )


def _check_agent(identity: Identity, context: ExecutionContext) -> None:
    """Raise `access_denied` for an agent or workflow that the token does not reach."""
    if identity.agents is None:
        return
    # A bare name is an agent's, as in a send: it opens no workflow of the same name.
    reached = {
        name if name.startswith("workflow-") else canonical_id("agent", name) for name in identity.agents
    }
    if context.primary_agent_id not in reached:
        raise Problem(
            "access_denied",
            f"the token does not reach {context.primary_agent_id}",
            context_id=context.primary_agent_id,
        )


def _context_type(stated: str) -> ContextType:
    for kind in CONTEXT_TYPES:
        if kind == stated:
            return kind
    raise Problem(
        "invalid_context_type", f"{stated[:40]!r} is not a context type", allowed=list(CONTEXT_TYPES)
    )


def _optional_id(name: str, value: str | None) -> str | None:
    if value is not None:
        require_id(name, value)
    return value


def _idempotency_key(stated: str | None) -> str | None:
    """The key without quotes: a quoted one, as the draft has it, equals the unquoted."""
    if stated is None:
        return None
    key = stated[1:-1] if len(stated) > 1 and stated[0] == stated[-1] == '"' else stated
    if not is_valid_idempotency_key(key):
        raise Problem("invalid_id", "Idempotency-Key must be 1 to 128 printable characters")
    return key


def _traceparent(stated: str | None) -> str | None:
    """The trace context; one that is malformed is ignored, as W3C Trace Context wants it."""
    return stated if stated and _TRACEPARENT(stated) else None


def _labels(request_source: str | None, client_version: str | None) -> dict[str, str]:
    labels = {"request_source": request_source, "client_version": client_version}
    for name, value in labels.items():
        if value is not None and not (len(value) <= _LABEL_MAX and value.isprintable()):
            header = "X-" + name.title().replace("_", "-")
            raise Problem("invalid_id", f"{header} must be at most {_LABEL_MAX} printable characters")
    return {name: value for name, value in labels.items() if value is not None}
