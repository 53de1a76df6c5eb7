"""What administrators changed, carried out on this replica (docs/decisions/0008)."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.admission.access import Access
from orchestrator.admission.limits import Limits
from orchestrator.auth.revocations import Revocations
from orchestrator.broker.changes import KEPT_SECONDS, Change, Changes, LimitsChanged, Revoked, TenantChanged
from orchestrator.broker.connection import BrokerError
from orchestrator.delivery.websocket_manager import WebSocketManager
from orchestrator.dispatch.retuning import Retuning
from orchestrator.errors import Problem
from orchestrator.store.errors import StoreError
from orchestrator.store.store import Store
from orchestrator.telemetry import Log, LogEvent

FOLLOW_SECONDS: Final = 0.5
"""Between two looks at the feed: a revoked subject has no socket any more within a second."""
RELOAD_SECONDS: Final = 30.0
CHECK_EVERY: Final = 10
"""Reloads between two looks at the state of every tenant with sockets."""
AT_ONCE: Final = 16


class Oversight:
    """Follows the feed of changes, and reads what it may have missed from the database."""

    def __init__(
        self,
        *,
        changes: Changes,
        revocations: Revocations,
        limits: Limits,
        access: Access,
        manager: WebSocketManager,
        store: Store | None,
        log: Log,
        retuning: Retuning | None = None,
    ) -> None:
        self._changes = changes
        self._revocations = revocations
        self._limits = limits
        self._access = access
        self._manager = manager
        self._store = store
        self._log = log
        self._retuning = retuning
        self._seen = 0
        self._reloads = 0
        self._limits_changed = False
        self._unsettled: set[str] = set()

    async def start(self) -> None:
        """Know what is void before anybody is let in. Raises `BrokerError` and `StoreError`."""
        await self._reload()
        while True:
            self._seen, page = await self._changes.since(self._seen)
            if not page:
                return
            for change in page:
                # No socket is open yet, and the limits are the database's: only what was revoked matters.
                if isinstance(change, Revoked):
                    self._revoke(change)

    async def look(self) -> None:
        """Read what was announced since the last look, and void what was revoked. Raises `BrokerError`."""
        page: list[Change] | None = None
        while page is None or page:
            self._seen, page = await self._changes.since(self._seen)
            for change in page:
                self._note(change)

    async def settle(self) -> None:
        """Do what takes longer: it must not keep a revocation waiting."""
        if self._limits_changed:
            self._limits_changed = False
            await self.reload()
            if self._retuning:
                self._retuning.limits_changed()
        tenants = list(self._unsettled)
        for start in range(0, len(tenants), AT_ONCE):
            await asyncio.gather(*(self._check(tenant) for tenant in tenants[start : start + AT_ONCE]))

    async def reload(self) -> None:
        """Read what the feed may have lost: limits and revocations each time, every tenant's state now and then."""
        # The database first, which may answer while Redis is away. Who needs it says when it is away itself.
        with suppress(StoreError):
            await self._reload()
        newest = await self._changes.newest()
        self._reloads += 1
        if newest < self._seen or self._reloads % CHECK_EVERY == 0:
            self._seen = min(self._seen, newest)
            self._unsettled.update(connection.tenant for connection in self._manager.connections())

    async def _reload(self) -> None:
        if self._store is None:
            return
        since = datetime.now(UTC) - timedelta(seconds=KEPT_SECONDS)
        limits, revocations = await asyncio.gather(self._store.tier_limits(), self._store.revocations(since))
        self._limits.lay_over(limits)
        for found in revocations:
            at = int(found.revoked_at.timestamp() * 1_000_000)
            self._revoke(Revoked(found.tenant_id, found.subject, at))

    def _note(self, change: Change) -> None:
        match change:
            case Revoked():
                self._revoke(change)
            case TenantChanged(tenant):
                self._unsettled.add(tenant)
                if self._retuning:
                    self._retuning.tenant_changed(tenant)
            case LimitsChanged():
                self._limits_changed = True

    def _revoke(self, change: Revoked) -> None:
        until = change.at / 1_000_000
        if not self._revocations.note(change.tenant, change.subject, until):
            return
        self._log.info(LogEvent.SUBJECT_REVOKED, tenant_id=change.tenant)
        subject = (change.tenant, change.subject)
        # Who holds a token of the deployment may follow anybody.
        suspects = self._manager.of_tenant(change.tenant) if change.tenant else self._manager.connections()
        for connection in suspects:
            if connection.subject == subject and self._revocations.covers(*subject, connection.issued):
                connection.close(4401, "the token was revoked")

    async def _check(self, tenant: str) -> None:
        """Close the sockets of a tenant that may no longer follow; asked again where nobody knows now."""
        open_ones = self._manager.of_tenant(tenant)
        if not open_ones or not self._access.enabled:
            self._unsettled.discard(tenant)
            return
        try:
            judgement = await self._access.may_follow(tenant, open_ones[0].tier)
        except (Problem, BrokerError):
            return  # one tenant that nobody can answer for keeps no other waiting
        self._unsettled.discard(tenant)
        if judgement.outcome == "access_denied":
            self._log.info(LogEvent.TENANT_SHUT_OUT, tenant_id=tenant)
        for connection in self._manager.of_tenant(tenant):
            if judgement.outcome == "access_denied":
                connection.close(4403, "the tenant is unknown or suspended")
            else:
                connection.own_limits = judgement.limits
