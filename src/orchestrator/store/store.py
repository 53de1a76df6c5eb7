"""The door to the database: each method is one question or one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final, Literal, Self

from msgspec import UNSET, UnsetType
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.protocol.context import ContextType
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.turn_policies import TurnPolicy
from orchestrator.store import audit, contexts, revocations, tenants, tier_limits
from orchestrator.store.access import read_access
from orchestrator.store.database import READ_SECONDS, Database, Work
from orchestrator.store.pages import PAGE
from orchestrator.store.records import (
    AccessRecord,
    AuditRecord,
    Change,
    ContextRecord,
    ContextRules,
    DeadLettersRecord,
    RecordT,
    RevocationRecord,
    TenantRecord,
    TierRecord,
)

SYSTEM: Final = "system"
"""The actor of what nobody in particular asked for."""


class Store:
    """Tenants, contexts, grants and the rest, opened by `async with`; connects when it is first asked.

    Every method may raise `StoreUnavailable`: a read after `read_seconds` at the latest, a change
    after ten seconds, and then it may have been made all the same. Ids are expected to be valid,
    context ids canonical. A change is written to the audit table in its own transaction, under the
    name of `actor`; one that changes nothing is not.
    """

    def __init__(self, database_url: str, *, read_seconds: float = READ_SECONDS) -> None:
        self.database = Database(database_url, read_seconds=read_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.database.close()

    async def ping(self) -> None:
        """Returns when the database answers."""
        await self.database.read(lambda connection: connection.execute(text("SELECT 1")))

    async def access(self, tenant_id: str, context_ids: Sequence[str]) -> AccessRecord:
        """Tier and own limits of an active tenant, and which of the contexts it may use now."""
        return await self.database.read(lambda connection: read_access(connection, tenant_id, context_ids))

    async def audit(
        self, tenant_id: str | None = None, limit: int = 100, before: int | None = None
    ) -> tuple[AuditRecord, ...]:
        """Changes, the newest first: all, or those about a tenant and what it owns; of lower ids than `before`."""
        return await self.database.read(
            lambda connection: audit.read_audit(connection, tenant_id, limit, before)
        )

    async def create_tenant(
        self, tenant_id: str, tier: Tier, limits: Mapping[str, int] | None = None, *, actor: str = SYSTEM
    ) -> Change[TenantRecord]:
        """A new, active tenant; `limits` are fields of `TierLimits` that shall differ from the tier's."""
        return await self._change(
            actor, lambda connection: tenants.create_tenant(connection, tenant_id, tier, limits or {})
        )

    async def get_tenant(self, tenant_id: str) -> TenantRecord:
        return await self.database.read(lambda connection: tenants.get_tenant(connection, tenant_id))

    async def list_tenants(self, *, after: str | None = None, limit: int = PAGE) -> tuple[TenantRecord, ...]:
        """A page: so many tenants behind an id, by id in the order of its bytes."""
        return await self.database.read(lambda connection: tenants.list_tenants(connection, after, limit))

    async def update_tenant(
        self,
        tenant_id: str,
        *,
        tier: Tier | None = None,
        limits: Mapping[str, int | None] | None = None,
        actor: str = SYSTEM,
    ) -> Change[TenantRecord]:
        """Sets what is given; a limit of None falls back to the tier's."""
        return await self._change(
            actor, lambda connection: tenants.update_tenant(connection, tenant_id, tier, limits or {})
        )

    async def suspend_tenant(self, tenant_id: str, *, actor: str = SYSTEM) -> Change[TenantRecord]:
        """From now on the tenant's access answers are those of an unknown one."""
        return await self._set_tenant_active(actor, tenant_id, active=False)

    async def resume_tenant(self, tenant_id: str, *, actor: str = SYSTEM) -> Change[TenantRecord]:
        return await self._set_tenant_active(actor, tenant_id, active=True)

    async def create_context(
        self,
        tenant_id: str,
        context_type: ContextType,
        name: str,
        *,
        turn_policy: TurnPolicy | None = None,
        max_attempts: int | None = None,
        actor: str = SYSTEM,
    ) -> Change[ContextRecord]:
        """A new, active context of the tenant, kept under its canonical id."""
        rules = ContextRules(turn_policy, max_attempts)
        return await self._change(
            actor,
            lambda connection: contexts.create_context(connection, tenant_id, context_type, name, rules),
        )

    async def get_context(self, context_id: str) -> ContextRecord:
        return await self.database.read(lambda connection: contexts.get_context(connection, context_id))

    async def list_contexts(
        self,
        tenant_id: str | None = None,
        context_type: ContextType | None = None,
        *,
        after: str | None = None,
        limit: int = PAGE,
    ) -> tuple[ContextRecord, ...]:
        """A page, as of tenants, of all contexts or of those that the tenant owns or may use."""
        return await self.database.read(
            lambda connection: contexts.list_contexts(connection, tenant_id, context_type, after, limit)
        )

    async def update_context(
        self,
        context_id: str,
        *,
        active: bool | UnsetType = UNSET,
        turn_policy: TurnPolicy | UnsetType | None = UNSET,
        max_attempts: int | UnsetType | None = UNSET,
        actor: str = SYSTEM,
    ) -> Change[ContextRecord]:
        """Sets what is given, for its owner and everyone it is granted to; a rule of None is the default again."""
        given = {"active": active, "turn_policy": turn_policy, "max_attempts": max_attempts}
        changes = {name: value for name, value in given.items() if value is not UNSET}
        return await self._change(
            actor, lambda connection: contexts.update_context(connection, context_id, changes)
        )

    async def grant(self, tenant_id: str, context_id: str, *, actor: str = SYSTEM) -> Change[ContextRecord]:
        """Lets the tenant use the context; granting twice, or to the owner, changes nothing."""
        return await self._change(actor, lambda connection: contexts.grant(connection, tenant_id, context_id))

    async def revoke(self, tenant_id: str, context_id: str, *, actor: str = SYSTEM) -> Change[ContextRecord]:
        """Takes the grant back; `NotFound` if there is none."""
        return await self._change(
            actor, lambda connection: contexts.revoke(connection, tenant_id, context_id)
        )

    async def revoke_subject(
        self, tenant_id: str, subject: str, *, actor: str = SYSTEM
    ) -> Change[RevocationRecord]:
        """Voids the subject's tokens that were issued until now; '' as tenant: those that name none."""
        return await self._change(
            actor, lambda connection: revocations.revoke_subject(connection, tenant_id, subject)
        )

    async def revocations(self, since: datetime) -> tuple[RevocationRecord, ...]:
        """Those of `since` or later, the oldest first."""
        return await self.database.read(lambda connection: revocations.list_revocations(connection, since))

    async def tier_limits(self) -> dict[Tier, dict[str, int]]:
        """Limits that go before the environment's, by tier; only what was changed is in it."""
        return await self.database.read(tier_limits.list_tier_limits)

    async def set_tier_limits(
        self, tier: Tier, limits: Mapping[str, int | None], *, actor: str = SYSTEM
    ) -> Change[TierRecord]:
        """Sets what is given; None goes back to the environment's."""
        return await self._change(
            actor, lambda connection: tier_limits.set_tier_limits(connection, tier, limits)
        )

    async def note_dead_letters(
        self,
        tenant_id: str,
        action: Literal["dead.replay", "dead.purge"],
        target: str,
        record: DeadLettersRecord,
        *,
        actor: str = SYSTEM,
    ) -> None:
        """Audits what was done to dead letters; `target` is the id of one, or the tenant's."""
        change = Change(record=record, before=None, action=action, tenant_id=tenant_id, target=target)
        await self.database.write(lambda connection: audit.write_audit(connection, actor, change))

    async def _set_tenant_active(self, actor: str, tenant_id: str, *, active: bool) -> Change[TenantRecord]:
        return await self._change(
            actor, lambda connection: tenants.set_tenant_active(connection, tenant_id, active=active)
        )

    async def _change(self, actor: str, work: Work[Change[RecordT]]) -> Change[RecordT]:
        async def audited(connection: AsyncConnection) -> Change[RecordT]:
            change = await work(connection)
            await audit.write_audit(connection, actor, change)
            return change

        return await self.database.write(audited)
