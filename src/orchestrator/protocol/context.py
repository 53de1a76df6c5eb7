"""What a task runs in: an agent, a workflow or a collection (contract §1)."""

from typing import Any, Final, Literal, get_args

import msgspec

from orchestrator.protocol.tiers import Tier

ContextType = Literal["agent", "workflow", "collection"]

CONTEXT_TYPES: Final[tuple[ContextType, ...]] = get_args(ContextType)


def canonical_id(context_type: ContextType, name: str) -> str:
    """`<type>-<id>`; an id that already begins with `<type>-` is taken as it is.

    Access is checked on this form and queues are named by it, so `123` and `agent-123`
    are one agent and no two tenants share a queue by a trick of spelling.
    """
    prefix = f"{context_type}-"
    return name if name.startswith(prefix) else prefix + name


class ExecutionContext(msgspec.Struct, frozen=True, kw_only=True):
    """The `execution_context` member of a task on the wire (contract §5)."""

    context_id: str
    context_type: ContextType
    tenant_id: str
    tenant_tier: Tier
    primary_agent_id: str
    agents: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    created_at: str
