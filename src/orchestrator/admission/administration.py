"""Changes of tenants and contexts, which hold at once: stored first, then forgotten by the cache."""

from collections.abc import Awaitable, Iterable, Mapping
from typing import Protocol

from orchestrator.errors import OrchestratorError
from orchestrator.protocol.context import ContextType
from orchestrator.protocol.tiers import Tier
from orchestrator.store.records import Change, ContextRecord, RecordT, TenantRecord
from orchestrator.store.store import Store


class AccessCache(Protocol):
    """Where replicas keep the database's answers about access."""

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        """Voids every kept answer about these tenants, also for a reader that is half way."""
        ...


class CacheNotCleared(OrchestratorError):
    """The change is stored, but its announcement failed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            "changed, but replicas may use old answers for up to ORCHESTRATOR_VALIDATION_CACHE_TTL "
            f"seconds: the cache could not be cleared ({error or type(error).__name__})"
        )


class Administration:
    """The operator's verbs. Each returns the record as it is afterwards.

    Raises the errors of the store, and `CacheNotCleared` when the change is stored all the same.
    """

    def __init__(self, store: Store, access_cache: AccessCache) -> None:
        self.store = store
        self._access_cache = access_cache

    async def create_tenant(
        self, tenant_id: str, tier: Tier, limits: Mapping[str, int] | None = None
    ) -> TenantRecord:
        return await self._announce(self.store.create_tenant(tenant_id, tier, limits))

    async def update_tenant(
        self, tenant_id: str, *, tier: Tier | None = None, limits: Mapping[str, int | None] | None = None
    ) -> TenantRecord:
        """Sets what is given; a limit of None falls back to the tier's."""
        return await self._announce(self.store.update_tenant(tenant_id, tier=tier, limits=limits))

    async def suspend_tenant(self, tenant_id: str) -> TenantRecord:
        return await self._announce(self.store.suspend_tenant(tenant_id))

    async def resume_tenant(self, tenant_id: str) -> TenantRecord:
        return await self._announce(self.store.resume_tenant(tenant_id))

    async def create_context(self, tenant_id: str, context_type: ContextType, name: str) -> ContextRecord:
        """The tenant becomes the owner; `name` may be canonical already or not."""
        return await self._announce(self.store.create_context(tenant_id, context_type, name))

    async def update_context(self, context_id: str, *, active: bool) -> ContextRecord:
        return await self._announce(self.store.update_context(context_id, active=active))

    async def grant(self, tenant_id: str, context_id: str) -> ContextRecord:
        return await self._announce(self.store.grant(tenant_id, context_id))

    async def revoke(self, tenant_id: str, context_id: str) -> ContextRecord:
        return await self._announce(self.store.revoke(tenant_id, context_id))

    async def _announce(self, changing: Awaitable[Change[RecordT]]) -> RecordT:
        change = await changing
        # Never the other way round: an answer read between the two would be kept, and be old.
        try:
            await self._access_cache.forget(change.affected)
        except Exception as error:
            raise CacheNotCleared(error) from error
        return change.record
