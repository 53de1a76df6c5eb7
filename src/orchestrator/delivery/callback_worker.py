"""Decides when whose callbacks are taken: on a ring of the doorbell, and when the agenda says so.

    first ring of an idle tenant ──► at once
    further rings ──► collected, and taken together every tick

One call is under way per tenant at most. The script's own pop rings the bell too; that ring meets the next tick, where
it costs a look at an empty list at most.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, cast

from orchestrator.broker.callbacks import QUEUES_PER_CALL
from orchestrator.broker.connection import BrokerError, Refused
from orchestrator.broker.rights import Rights
from orchestrator.delivery.callback_handler import CallbackHandler
from orchestrator.telemetry import Log, LogEvent

TICK_SECONDS: Final = 0.002
CALLS_AT_ONCE: Final = 4
_RETRY_SECONDS: Final = 0.25
_AGAIN_SECONDS: Final = 1.0


class CallbackWorker:
    """Pumps tenants' callback queues."""

    def __init__(self, handler: CallbackHandler, rights: Rights, log: Log, *, is_cluster: bool) -> None:
        self._handler = handler
        self._rights = rights
        self._log = log
        self._share = 1 if is_cluster else QUEUES_PER_CALL  # in a Cluster tenants lie in different slots
        self._waiting: dict[str, None] = {}
        # Tenants under way; True when it rang meanwhile.
        self._under_way: dict[str, bool] = {}
        self._wake = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Pump until cancelled; what a call took is done when it returns."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting and len(self._calls) < CALLS_AT_ONCE:
                    self._start_call()
                await asyncio.sleep(TICK_SECONDS)
        finally:
            await asyncio.gather(*self._calls, return_exceptions=True)

    def ring(self, tenant: str) -> None:
        """Something was pushed for `tenant`, as far as one can hear."""
        if tenant in self._under_way:
            self._under_way[tenant] = True
            return
        self._waiting[tenant] = None
        self._idle.clear()
        self._wake.set()

    def ring_all(self, tenants: Iterable[str]) -> None:
        """Look at many tenants, in the order given."""
        for tenant in tenants:
            self.ring(tenant)

    async def settled(self, tenant: str) -> None:
        """Return when nothing of `tenant` is waiting or under way here."""
        while tenant in self._waiting or tenant in self._under_way:
            self._idle.clear()
            await self._idle.wait()

    def _ring_later(self, tenants: list[str]) -> None:
        if tenants:
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self.ring_all, tenants)

    def _start_call(self) -> None:
        batch = [tenant for tenant, _ in zip(self._waiting, range(self._share), strict=False)]
        for tenant in batch:
            del self._waiting[tenant]
            self._under_way[tenant] = False
        call = asyncio.create_task(self._call(batch))
        self._calls.add(call)

    async def _call(self, batch: list[str]) -> None:
        more: list[str] = []
        call = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            self._rights.check()  # without LTRIM what was taken would be taken again
            handled = await self._handler.handle(batch)
            more = handled.more
            self._ring_later(handled.failed)
        except BrokerError as error:
            if isinstance(error, Refused) and error.within_script:
                self._rights.doubt(error)
            self._log.debug(LogEvent.CALLBACK_FAILED, error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
            more = batch
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the pump
            self._log.error(LogEvent.UNEXPECTED_ERROR, exc_info=error)
            await asyncio.sleep(_RETRY_SECONDS)
            more = batch
        finally:
            again = [tenant for tenant in batch if self._under_way.pop(tenant, False)]
            # Not by the done callback alone: that runs a turn later, and `run` would find no place free.
            self._calls.discard(call)
            # Who was passed over comes first: else a tenant with ever more would keep a large callback waiting.
            self.ring_all([*more, *again])
            self._idle.set()
            self._wake.set()
