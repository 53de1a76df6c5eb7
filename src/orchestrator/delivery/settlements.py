"""Which endings reached a socket and which the client acknowledged, noted in Redis at most once a second a tenant."""

import asyncio
from contextlib import suppress
from typing import Final

from orchestrator.broker.connection import BrokerError
from orchestrator.broker.logs import Logs, Settled
from orchestrator.protocol.events import SessionName

EVERY_SECONDS: Final = 1.0


class Settlements:
    """Collects offsets by session: the first is noted at once, further ones together."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._waiting: dict[SessionName, list[int]] = {}
        self._wake = asyncio.Event()

    def delivered(self, name: SessionName, offset: int) -> None:
        """Endings up to `offset` were written to a socket."""
        self._note(name, 0, offset)

    def acknowledged(self, name: SessionName, offset: int) -> None:
        """The client says that it has everything up to `offset`."""
        self._note(name, 1, offset)

    async def run(self) -> None:
        """Note what is collected, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()
            await asyncio.sleep(EVERY_SECONDS)

    async def flush(self) -> None:
        """Note everything now. What Redis does not take is not repeated: the next ack says more."""
        waiting, self._waiting = self._waiting, {}
        by_tenant: dict[str, list[Settled]] = {}
        for name, offsets in waiting.items():
            by_tenant.setdefault(name.tenant, []).append(Settled(name.session, name.epoch, *offsets))
        for tenant, settled in by_tenant.items():
            with suppress(BrokerError):
                await self._logs.settle(tenant, settled)

    def _note(self, name: SessionName, which: int, offset: int) -> None:
        offsets = self._waiting.setdefault(name, [0, 0])
        offsets[which] = max(offsets[which], offset)
        self._wake.set()
