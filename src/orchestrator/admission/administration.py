"""Changes of tenants, contexts, tokens and limits, which hold at once: stored, then told to every replica."""

import asyncio
from collections.abc import Awaitable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from orchestrator.admission.limit_rules import check_limits
from orchestrator.errors import OrchestratorError
from orchestrator.protocol.context import ContextType
from orchestrator.protocol.tiers import Tier
from orchestrator.protocol.turn_policies import TurnPolicy
from orchestrator.store.errors import AlreadyExists
from orchestrator.store.records import (
    Change,
    ContextRecord,
    RecordT,
    RevocationRecord,
    TenantRecord,
    TierRecord,
)
from orchestrator.store.store import Store

_OLD_ANSWERS: Final = "replicas may use old answers for up to ORCHESTRATOR_VALIDATION_CACHE_TTL seconds"
_TASKS_GO_ON: Final = f"{_OLD_ANSWERS}, and its open tasks go on until it is suspended again"
ENDINGS_SECONDS: Final = 0.3
_READ_AGAIN: Final = "replicas learn of it only when they next read the database"


class AccessCache(Protocol):
    """Where replicas keep the database's answers about access."""

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        """Voids every kept answer about these tenants, also for a reader that is half way."""
        ...


class Announcer(Protocol):
    """Tells every replica what was changed."""

    async def tenant_changed(self, tenant: str) -> None:
        """Sockets of this tenant ask again whether they may stay."""
        ...

    async def revoked(self, tenant: str, subject: str, at_micros: int) -> None:
        """Tokens of the subject that were issued until then are void."""
        ...

    async def limits_changed(self) -> None:
        """Limits of a tier were changed."""
        ...


class OpenTasks(Protocol):
    """The tasks that are under way."""

    async def suspend(self, tenant: str) -> tuple[int, int]:
        """Ends every open task of a suspended tenant: how many, and how many could not be. Idempotent."""
        ...


class Suspended(msgspec.Struct, frozen=True):
    """A tenant that is suspended, and how many of its tasks ended by that."""

    tenant: TenantRecord
    tasks_ended: int


class Unfinished(OrchestratorError):
    """The change is stored, but something that follows from it failed."""


class CacheNotCleared(Unfinished):
    """Not every replica has been told of the change."""

    def __init__(self, meanwhile: str, error: Exception) -> None:
        why = error or type(error).__name__
        super().__init__(
            f"changed, but {meanwhile}: it could not be announced ({why}); do it again to finish"
        )


class TasksLeftOpen(Unfinished):
    """The tenant is suspended, and some of its tasks are open all the same."""

    def __init__(self, ended: int, left: int) -> None:
        super().__init__(
            f"suspended, but {left} of its open tasks could not be ended ({ended} were); suspend it again to finish"
        )


class Administration:
    """The operator's verbs, each under the name of whoever asks. Each returns the record as it is afterwards.

    Raises the errors of the store, `BadLimit` before anything is done, and `Unfinished` when the change
    is stored all the same.
    """

    def __init__(
        self, store: Store, access_cache: AccessCache, announcer: Announcer, open_tasks: OpenTasks
    ) -> None:
        self.store = store
        self._access_cache = access_cache
        self._announcer = announcer
        self._open_tasks = open_tasks

    async def create_tenant(
        self, tenant_id: str, tier: Tier, limits: Mapping[str, int] | None = None, *, actor: str
    ) -> TenantRecord:
        check_limits(limits or {})
        return await self._create(tenant_id, self.store.create_tenant(tenant_id, tier, limits, actor=actor))

    async def update_tenant(
        self,
        tenant_id: str,
        *,
        tier: Tier | None = None,
        limits: Mapping[str, int | None] | None = None,
        actor: str,
    ) -> TenantRecord:
        """Sets what is given; a limit of None falls back to the tier's."""
        check_limits(limits or {})
        return await self._change(self.store.update_tenant(tenant_id, tier=tier, limits=limits, actor=actor))

    async def suspend_tenant(self, tenant_id: str, *, actor: str) -> Suspended:
        """Lets nobody of it in any more, ends its open tasks, and closes its sockets."""
        change = await self.store.suspend_tenant(tenant_id, actor=actor)
        with _announcing(_TASKS_GO_ON):
            # No task can come any more once the answers are void. The sockets see the endings before they go, but do
            # not stay for thousands of them.
            await self._access_cache.forget(change.affected)
            ending = asyncio.ensure_future(self._open_tasks.suspend(tenant_id))
            await asyncio.wait((ending,), timeout=ENDINGS_SECONDS)
            try:
                await self._announcer.tenant_changed(tenant_id)
            finally:
                ended, left = await ending
        if left:
            raise TasksLeftOpen(ended, left)
        return Suspended(change.record, ended)

    async def resume_tenant(self, tenant_id: str, *, actor: str) -> TenantRecord:
        return await self._change(self.store.resume_tenant(tenant_id, actor=actor))

    async def create_context(
        self,
        tenant_id: str,
        context_type: ContextType,
        name: str,
        *,
        turn_policy: TurnPolicy | None = None,
        max_attempts: int | None = None,
        actor: str,
    ) -> ContextRecord:
        """The tenant becomes the owner; `name` may be canonical already or not."""
        creating = self.store.create_context(
            tenant_id, context_type, name, turn_policy=turn_policy, max_attempts=max_attempts, actor=actor
        )
        return await self._create(tenant_id, creating)

    async def update_context(
        self,
        context_id: str,
        *,
        active: bool | UnsetType = UNSET,
        turn_policy: TurnPolicy | UnsetType | None = UNSET,
        max_attempts: int | UnsetType | None = UNSET,
        actor: str,
    ) -> ContextRecord:
        """Sets what is given; a turn policy or number of attempts of None goes back to the default."""
        return await self._change(
            self.store.update_context(
                context_id, active=active, turn_policy=turn_policy, max_attempts=max_attempts, actor=actor
            )
        )

    async def grant(self, tenant_id: str, context_id: str, *, actor: str) -> ContextRecord:
        return await self._change(self.store.grant(tenant_id, context_id, actor=actor))

    async def revoke(self, tenant_id: str, context_id: str, *, actor: str) -> ContextRecord:
        return await self._change(self.store.revoke(tenant_id, context_id, actor=actor))

    async def revoke_subject(self, tenant_id: str, subject: str, *, actor: str) -> RevocationRecord:
        """Refuses the subject's tokens that were issued until now; '' as tenant: those that name none."""
        record = (await self.store.revoke_subject(tenant_id, subject, actor=actor)).record
        with _announcing(_READ_AGAIN):
            at_micros = round(record.revoked_at.timestamp() * 1_000_000)
            await self._announcer.revoked(tenant_id, subject, at_micros)
        return record

    async def set_tier_limits(
        self, tier: Tier, limits: Mapping[str, int | None], *, actor: str
    ) -> TierRecord:
        """Sets what is given; None goes back to the environment's."""
        check_limits(limits)
        record = (await self.store.set_tier_limits(tier, limits, actor=actor)).record
        with _announcing(_READ_AGAIN):
            await self._announcer.limits_changed()
        return record

    async def _create(self, tenant_id: str, creating: Awaitable[Change[RecordT]]) -> RecordT:
        try:
            return await self._change(creating)
        except AlreadyExists:
            # Perhaps made by an earlier try that could not announce it: this one finishes that.
            await self._announce([tenant_id])
            raise

    async def _change(self, changing: Awaitable[Change[RecordT]]) -> RecordT:
        change = await changing
        await self._announce(change.affected)
        return change.record

    async def _announce(self, tenant_ids: Iterable[str]) -> None:
        with _announcing(_OLD_ANSWERS):
            # Never before it is stored: an answer read between the two would be kept, and be old.
            await self._access_cache.forget(tenant_ids)
            for tenant_id in sorted(tenant_ids):
                await self._announcer.tenant_changed(tenant_id)


@contextmanager
def _announcing(meanwhile: str) -> Generator[None]:
    """What fails inside leaves replicas with what they know; `meanwhile` says what that means."""
    try:
        yield
    except Exception as error:
        raise CacheNotCleared(meanwhile, error) from error
