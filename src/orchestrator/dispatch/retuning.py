"""Gives what waits already the share that an administrator has just changed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from orchestrator.broker.dispatch import Dispatch
from orchestrator.broker.keys import Keys
from orchestrator.dispatch.tenant_shares import TenantShares
from orchestrator.store.errors import NotFound, StoreUnavailable
from orchestrator.store.records import TenantRecord

AT_ONCE: Final = 16

ReadTenant = Callable[[str], Awaitable[TenantRecord]]
"""The record of a tenant. Raises `StoreError`."""


class Retuning:
    """Hears of changes as every replica does; the one that dispatches carries them out.

    A change that nobody carries out, because a replica died over it, holds from the tenant's next message on.
    """

    def __init__(
        self, dispatch: Dispatch, keys: Keys, shares: TenantShares, read_tenant: ReadTenant | None
    ) -> None:
        self._dispatch = dispatch
        self._keys = keys
        self._shares = shares
        self._read_tenant = read_tenant
        self._changed: set[str] = set()
        self._all_changed = False

    def tenant_changed(self, tenant: str) -> None:
        """The tenant's tier or limits may be others now."""
        self._shares.forget(tenant)
        self._changed.add(tenant)

    def limits_changed(self) -> None:
        """Limits of a tier are others now."""
        self._all_changed = True

    def leave_to_others(self) -> None:
        """Another replica does it."""
        self._changed.clear()
        self._all_changed = False

    async def carry_out(self) -> None:
        """Give every tenant that was changed its share. Raises `BrokerError`; what is left is done next time."""
        if self._all_changed:
            homes = await self._dispatch.homes(self._keys.prefix)
            self._changed.update(filter(None, map(self._keys.tenant_of, homes)))
            self._all_changed = False
        tenants = list(self._changed)
        for start in range(0, len(tenants), AT_ONCE):
            await asyncio.gather(*(self._retune(tenant) for tenant in tenants[start : start + AT_ONCE]))

    async def _retune(self, tenant: str) -> None:
        with suppress(StoreUnavailable):
            await self._retune_known(tenant)
            self._changed.discard(tenant)

    async def _retune_known(self, tenant: str) -> None:
        if self._read_tenant is None:
            return
        with suppress(NotFound):
            record = await self._read_tenant(tenant)
            self._shares.note(tenant, record.limits)
            share = self._shares.of(tenant, record.tier)
            await self._dispatch.retune(self._keys.callbacks(tenant), share.weight, share.cap)
