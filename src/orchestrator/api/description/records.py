"""The bodies and answers of administration, built from what is read and from the store's records.

Nothing is encoded with these: tests hold them against what a running server answers.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from orchestrator.api.admin.changes import (
    ContextChange,
    NewContext,
    NewTenant,
    Revocation,
    TenantChange,
    TierChange,
)
from orchestrator.api.description.values import Count, Id, Moment, UserId
from orchestrator.protocol.tiers import Tier, TierLimits
from orchestrator.store.records import AuditRecord, ContextRecord, TenantRecord


class NewAgent(NewContext, frozen=True):
    """An agent to create; `tenant_id` becomes the owner."""


class NewWorkflow(NewContext, frozen=True):
    """A workflow to create; `tenant_id` becomes the owner."""


class NewCollection(NewContext, frozen=True):
    """A collection to create; `tenant_id` becomes the owner."""


Next = Annotated[Id | None, Meta(description="What to give as `after` for the next page; null on the last.")]


class TenantPage(Struct):
    """Tenants in order of id."""

    tenants: list[TenantRecord]
    next: Next


class SuspendedTenant(TenantRecord, frozen=True, kw_only=True):
    """A tenant that is suspended now."""

    tasks_ended: Annotated[Count, Meta(description="Its open tasks that ended by this call.")]


class AgentPage(Struct):
    """Agents in order of id."""

    agents: list[ContextRecord]
    next: Next


class WorkflowPage(Struct):
    """Workflows in order of id."""

    workflows: list[ContextRecord]
    next: Next


class CollectionPage(Struct):
    """Collections in order of id."""

    collections: list[ContextRecord]
    next: Next


class TierRow(Struct):
    """The limits of a tier."""

    tier: Tier
    limits: Annotated[TierLimits, Meta(description="What holds; a tenant may have others of its own.")]
    changed: Annotated[
        dict[str, int],
        Meta(
            description="Those that were changed here; the others are ORCHESTRATOR_TIER_LIMITS' or the defaults."
        ),
    ]


class TierList(Struct):
    """The limits of the four tiers."""

    tiers: list[TierRow]


class RevokedSubject(Struct):
    """Whose tokens are void, and up to when they were issued."""

    tenant_id: Id | None
    sub: UserId
    revoked_at: Moment


class AuditPage(Struct):
    """Changes, the newest first."""

    entries: list[AuditRecord]
    next: Annotated[
        int | None, Meta(description="What to give as `before` for the next page; null on the last.")
    ]


RECORDS: Final = (
    NewTenant,
    TenantChange,
    NewAgent,
    NewWorkflow,
    NewCollection,
    ContextChange,
    TierChange,
    Revocation,
    TenantPage,
    TenantRecord,
    SuspendedTenant,
    AgentPage,
    WorkflowPage,
    CollectionPage,
    ContextRecord,
    TierList,
    RevokedSubject,
    AuditPage,
)
