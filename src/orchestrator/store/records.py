"""What the store hands out: plain values, no rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from orchestrator.protocol.context import ContextType
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.turn_policies import TurnPolicy


class ContextRules(msgspec.Struct, frozen=True):
    """How a context is to be used; None: as everywhere."""

    turn_policy: TurnPolicy | None = None
    max_attempts: int | None = None


class AccessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant may do, as the database has it now.

    `tier` is None when the tenant does not exist or is suspended; `limits` are its own, to be laid
    over the tier's; `granted` are those of the contexts asked for that it may use, with their rules.
    """

    tier: Tier | None
    limits: Mapping[str, int]
    granted: Mapping[str, ContextRules]


class TenantRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A customer."""

    id: str
    tier: Tier
    active: bool
    limits: dict[str, int]
    """Fields of `TierLimits` that differ from the tier's."""
    created_at: datetime


class ContextRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, a workflow or a collection; `id` is the canonical `<type>-<id>`."""

    id: str
    type: ContextType
    tenant_id: str
    """The owner."""
    active: bool
    granted_to: tuple[str, ...]
    """The other tenants that may use it, in order."""
    created_at: datetime
    turn_policy: TurnPolicy | None
    """What its messages do to others of their session; None: the contract's default."""
    max_attempts: int | None
    """How often a task of it is tried; None: as the settings say."""


class RevocationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a subject that were issued until `revoked_at` are void."""

    tenant_id: str
    """'' for tokens that name no tenant."""
    subject: str
    revoked_at: datetime


class TierRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a tier that were changed while the service runs."""

    tier: Tier
    limits: dict[str, int]
    """Fields of `TierLimits` that differ from the environment's."""


class DeadLettersRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to dead letters of a tenant: they lie in Redis, the database has the note of it alone."""

    letters: int
    reasons: dict[str, int]
    """How many of each."""


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what, and what the record was before and after; no `before` where it is new."""

    id: int
    """A later change has a higher one."""
    at: datetime
    actor: str
    action: str
    """What was done, as in `tenants.suspend`."""
    tenant_id: str | None
    target: str
    """The id of what was changed, for example of an agent."""
    before: dict[str, Any] | None
    after: dict[str, Any] | None


RecordT = TypeVar("RecordT", TenantRecord, ContextRecord, RevocationRecord, TierRecord, DeadLettersRecord)


class Change(msgspec.Struct, Generic[RecordT], frozen=True, kw_only=True):
    """A record after a change, and what else there is to know of the change."""

    record: RecordT
    before: RecordT | None
    action: str
    """As in `AuditRecord`; so are the next two."""
    tenant_id: str | None
    target: str
    affected: frozenset[str] = frozenset()
    """The tenants whose earlier access answers no longer hold."""
