"""The door to the database: each method is one question or one transaction."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from sqlalchemy import text

from orchestrator.protocol.context import ContextType
from orchestrator.protocol.tiers import Tier
from orchestrator.store import contexts, tenants
from orchestrator.store.access import read_access
from orchestrator.store.database import READ_SECONDS, Database
from orchestrator.store.records import AccessRecord, Change, ContextRecord, TenantRecord


class Store:
    """Tenants, contexts and grants, opened by `async with`; connects when it is first asked.

    Every method may raise `StoreUnavailable`: a read after `read_seconds` at the latest, a change
    after ten seconds, and then it may have been made all the same. Ids are expected to be valid,
    context ids canonical.
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

    async def create_tenant(
        self, tenant_id: str, tier: Tier, limits: Mapping[str, int] | None = None
    ) -> Change[TenantRecord]:
        """A new, active tenant; `limits` are fields of `TierLimits` that shall differ from the tier's."""
        return await self.database.write(
            lambda connection: tenants.create_tenant(connection, tenant_id, tier, limits or {})
        )

    async def get_tenant(self, tenant_id: str) -> TenantRecord:
        return await self.database.read(lambda connection: tenants.get_tenant(connection, tenant_id))

    async def list_tenants(self) -> tuple[TenantRecord, ...]:
        return await self.database.read(tenants.list_tenants)

    async def update_tenant(
        self, tenant_id: str, *, tier: Tier | None = None, limits: Mapping[str, int | None] | None = None
    ) -> Change[TenantRecord]:
        """Sets what is given; a limit of None falls back to the tier's."""
        return await self.database.write(
            lambda connection: tenants.update_tenant(connection, tenant_id, tier, limits or {})
        )

    async def suspend_tenant(self, tenant_id: str) -> Change[TenantRecord]:
        """From now on the tenant's access answers are those of an unknown one."""
        return await self._set_tenant_active(tenant_id, active=False)

    async def resume_tenant(self, tenant_id: str) -> Change[TenantRecord]:
        return await self._set_tenant_active(tenant_id, active=True)

    async def create_context(
        self, tenant_id: str, context_type: ContextType, name: str
    ) -> Change[ContextRecord]:
        """A new, active context of the tenant, kept under its canonical id."""
        return await self.database.write(
            lambda connection: contexts.create_context(connection, tenant_id, context_type, name)
        )

    async def list_contexts(
        self, tenant_id: str | None = None, context_type: ContextType | None = None
    ) -> tuple[ContextRecord, ...]:
        """All contexts, or those that the tenant owns or may use."""
        return await self.database.read(
            lambda connection: contexts.list_contexts(connection, tenant_id, context_type)
        )

    async def update_context(self, context_id: str, *, active: bool) -> Change[ContextRecord]:
        """Switches the context on or off, for its owner and everyone it is granted to."""
        return await self.database.write(
            lambda connection: contexts.set_context_active(connection, context_id, active=active)
        )

    async def grant(self, tenant_id: str, context_id: str) -> Change[ContextRecord]:
        """Lets the tenant use the context; granting twice, or to the owner, changes nothing."""
        return await self.database.write(lambda connection: contexts.grant(connection, tenant_id, context_id))

    async def revoke(self, tenant_id: str, context_id: str) -> Change[ContextRecord]:
        """Takes the grant back; `NotFound` if there is none."""
        return await self.database.write(
            lambda connection: contexts.revoke(connection, tenant_id, context_id)
        )

    async def _set_tenant_active(self, tenant_id: str, *, active: bool) -> Change[TenantRecord]:
        return await self.database.write(
            lambda connection: tenants.set_tenant_active(connection, tenant_id, active=active)
        )
