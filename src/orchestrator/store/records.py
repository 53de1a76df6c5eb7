"""What the store hands out: plain values, no rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from orchestrator.protocol.context import ContextType
from orchestrator.protocol.tiers import Tier


class AccessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant may do, as the database has it now.

    `tier` is None when the tenant does not exist or is suspended; `limits` are its own, to be laid
    over the tier's; `granted` are those of the contexts asked for that it may use.
    """

    tier: Tier | None
    limits: Mapping[str, int]
    granted: frozenset[str]


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


RecordT = TypeVar("RecordT", TenantRecord, ContextRecord)


class Change(msgspec.Struct, Generic[RecordT], frozen=True):
    """A record after a change, and the tenants whose earlier access answers no longer hold."""

    record: RecordT
    affected: frozenset[str]
