"""What administrators changed, carried out on this replica (docs/decisions/0008)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.admission.access import Access
from orchestrator.admission.limits import Limits
from orchestrator.auth.revocations import Revocations
from orchestrator.broker.changes import KEPT_SECONDS, Change, Changes, LimitsChanged, Revoked, TenantChanged
from orchestrator.delivery.websocket_manager import WebSocketManager
from orchestrator.errors import Problem
from orchestrator.store.errors import StoreError
from orchestrator.store.store import Store
from orchestrator.telemetry import Log, LogEvent

FOLLOW_SECONDS: Final = 0.5
"""Between two looks at the feed: a revoked subject has no socket any more within a second."""
RELOAD_SECONDS: Final = 30.0


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
    ) -> None:
        self._changes = changes
        self._revocations = revocations
        self._limits = limits
        self._access = access
        self._manager = manager
        self._store = store
        self._log = log
        self._seen = 0
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
        """Do what was announced since the last look. Raises `BrokerError`."""
        page: list[Change] | None = None
        while page is None or page:
            self._seen, page = await self._changes.since(self._seen)
            for change in page:
                await self._do(change)
        for tenant in tuple(self._unsettled):
            await self._check(tenant)

    async def reload(self) -> None:
        """Read limits and revocations from the database, in case the feed lost something."""
        try:
            await self._reload()
        except StoreError:
            return  # whoever needs the database says that it is away

    async def _reload(self) -> None:
        if self._store is None:
            return
        since = datetime.now(UTC) - timedelta(seconds=KEPT_SECONDS)
        limits, revocations = await asyncio.gather(self._store.tier_limits(), self._store.revocations(since))
        self._limits.lay_over(limits)
        for found in revocations:
            at = int(found.revoked_at.timestamp() * 1_000_000)
            self._revoke(Revoked(found.tenant_id, found.subject, at))

    async def _do(self, change: Change) -> None:
        match change:
            case Revoked():
                self._revoke(change)
            case TenantChanged(tenant):
                self._unsettled.add(tenant)
            case LimitsChanged():
                await self.reload()

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
        except Problem:
            return
        self._unsettled.discard(tenant)
        if judgement.outcome == "access_denied":
            self._log.info(LogEvent.TENANT_SHUT_OUT, tenant_id=tenant)
        for connection in self._manager.of_tenant(tenant):
            if judgement.outcome == "access_denied":
                connection.close(4403, "the tenant is unknown or suspended")
            else:
                connection.own_limits = judgement.limits
