"""Decides when whose callbacks are taken: on a ring of the doorbell, and when the agenda says so.

    first ring of an idle tenant ──► at once
    further rings ──► collected, and taken together every tick
    more left than a call takes ──► at once, and a moment later one call ahead: Redis works while we bring the last
                                    call's events

To take a callback rings the bell, too. What was pushed before or after in the same turn of the server rings no second
time, so that echo cannot be ignored; but it may wait a little for the next ring, which makes it needless. If none has
come, Redis is asked whether there is anything at all, for all tenants of a call together: there hardly ever is.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, cast

from orchestrator.broker.callbacks import QUEUES_PER_CALL
from orchestrator.broker.connection import BrokerError, Refused
from orchestrator.broker.rights import Rights
from orchestrator.delivery.callback_handler import CallbackHandler, Handled
from orchestrator.loop_turn import OncePerTurn
from orchestrator.telemetry import Log, LogEvent

TICK_SECONDS: Final = 0.001
CALLS_AT_ONCE: Final = 4
CALLS_AHEAD: Final = 2
"""Calls under way for a tenant with a backlog."""
AHEAD_SECONDS: Final = 0.001
"""How long the second waits where both would set out together: `OncePerTurn` says what that would cost."""
ECHO_SECONDS: Final = 0.015
_RETRY_SECONDS: Final = 0.25
_AGAIN_SECONDS: Final = 1.0


class _Line:
    """A tenant that is under way, or has more waiting."""

    def __init__(self) -> None:
        self.calls = 0
        self.rang = False
        self.many = False
        """Whether more is left than a call takes."""
        self.setting_out = OncePerTurn()
        """Of the calls of a backlog."""
        # How often the bell was heard meanwhile, and how often we rang it ourselves, at most.
        self.heard = 0
        self.took = 0


class _Echo:
    """What our own taking rings, or has rung already."""

    __slots__ = ("heard",)

    def __init__(self, *, heard: bool) -> None:
        self.heard = heard


class CallbackWorker:
    """Pumps tenants' callback queues."""

    def __init__(self, handler: CallbackHandler, rights: Rights, log: Log, *, is_cluster: bool) -> None:
        self._handler = handler
        self._rights = rights
        self._log = log
        self._share = 1 if is_cluster else QUEUES_PER_CALL  # in a Cluster tenants lie in different slots
        self._waiting: dict[str, None] = {}
        self._lines: dict[str, _Line] = {}
        self._echoes: dict[str, _Echo] = {}
        self._wake = asyncio.Event()
        self._running = False
        self._calls: set[asyncio.Task[None]] = set()
        self._questions: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Pump until cancelled; what a call took is done when it returns."""
        self._running, loop = True, asyncio.get_running_loop()
        try:
            began = -TICK_SECONDS
            while True:
                await self._wake.wait()
                # Whoever rings just after others waits for more; nobody waits for a tick in which nothing rings.
                if (left := began + TICK_SECONDS - loop.time()) > 0:
                    await asyncio.sleep(left)
                began = loop.time()
                self._wake.clear()
                self._start_calls()
        finally:
            self._running = False
            await asyncio.gather(*self._calls, return_exceptions=True)

    def hear(self, tenant: str) -> None:
        """The bell rang for `tenant`: something was pushed, or taken by us."""
        line, echo = self._lines.get(tenant), self._echoes.get(tenant)
        if line:
            line.heard += 1
        elif echo and not echo.heard:
            echo.heard = True
        else:
            self.ring(tenant)

    def ring(self, tenant: str) -> None:
        """Look at `tenant`: something was pushed, as far as one can know."""
        line = self._lines.get(tenant)
        if line and line.calls:
            line.rang = True
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
        while tenant in self._waiting or tenant in self._lines:
            self._idle.clear()
            await self._idle.wait()

    def _ring_later(self, tenants: list[str]) -> None:
        if tenants:
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self.ring_all, tenants)

    def _start_calls(self) -> None:
        while self._waiting and len(self._calls) < CALLS_AT_ONCE:
            batch = [tenant for tenant, _ in zip(self._waiting, range(self._share), strict=False)]
            for tenant in batch:
                self._set_out(tenant)
            self._calls.add(asyncio.create_task(self._call(batch)))

    def _set_out(self, tenant: str) -> None:
        line = self._lines.setdefault(tenant, _Line())
        line.calls += 1
        line.rang = False
        del self._waiting[tenant]
        if line.many:
            line.setting_out.note(asyncio.get_running_loop())
            if line.calls < CALLS_AHEAD:
                self._go_ahead_soon(tenant)
        self._echoes.pop(tenant, None)

    def _go_ahead_soon(self, tenant: str) -> None:
        asyncio.get_running_loop().call_later(AHEAD_SECONDS, self._go_ahead, tenant)

    def _go_ahead(self, tenant: str) -> None:
        line = self._lines.get(tenant)
        if line and line.many and 0 < line.calls < CALLS_AHEAD and self._running:
            self._waiting[tenant] = None
            self._wake.set()  # whose time comes in the same turn share a call

    async def _call(self, batch: list[str]) -> None:
        handled = Handled(batch, [])  # to be tried again, unless it is done
        call = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            self._rights.check()  # without LTRIM what was taken would be taken again
            handled = await self._handler.handle(batch)
            self._ring_later(handled.failed)
        except BrokerError as error:
            if isinstance(error, Refused) and error.within_script:
                self._rights.doubt(error)
            self._log.debug(LogEvent.CALLBACK_FAILED, error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the pump
            self._log.error(LogEvent.UNEXPECTED_ERROR, exc_info=error)
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            # Not by the done callback alone: that runs a turn later, and `run` would find no place free.
            self._calls.discard(call)
            self._came_back(batch, handled)
            self._idle.set()

    def _came_back(self, batch: list[str], handled: Handled) -> None:
        for tenant in batch:
            line = self._lines[tenant]
            line.calls -= 1
            line.took += tenant in handled.took
            line.many = tenant in handled.many
        self._line_up(handled.more)
        idle = [tenant for tenant in batch if not self._lines[tenant].calls and tenant not in self._waiting]
        echoes = {tenant: echo for tenant in idle if (echo := self._rest(tenant, self._lines.pop(tenant)))}
        if echoes:
            self._echoes |= echoes
            asyncio.get_running_loop().call_later(ECHO_SECONDS, self._end_echoes, echoes)
        if handled.many and self._running:
            self._start_calls()
        if self._waiting:
            self._wake.set()

    def _line_up(self, more: list[str]) -> None:
        # Who was passed over comes first: else a tenant with ever more would keep a large callback waiting.
        for tenant in more:
            line = self._lines[tenant]
            if line.calls and line.setting_out.done:
                self._go_ahead_soon(tenant)
            elif line.many or not line.calls:
                self._waiting[tenant] = None

    def _rest(self, tenant: str, line: _Line) -> _Echo | None:
        """Nothing is left of what was there when the last call was made; perhaps something has come since."""
        if line.rang or line.heard > line.took:
            self.ring(tenant)
            return None
        return _Echo(heard=line.heard > 0) if line.took else None

    def _end_echoes(self, echoes: dict[str, _Echo]) -> None:
        """Ask for those that were heard, unless the tenant was called for meanwhile."""
        over = [tenant for tenant, echo in echoes.items() if self._echoes.get(tenant) is echo]
        for tenant in over:
            del self._echoes[tenant]
        doubted = [tenant for tenant in over if echoes[tenant].heard]
        if doubted:
            asking = asyncio.create_task(self._ring_if_left(doubted))
            self._questions.add(asking)
            asking.add_done_callback(self._questions.discard)

    async def _ring_if_left(self, tenants: list[str]) -> None:
        try:
            is_any_left = await self._handler.is_any_left(tenants)
        except BrokerError:
            is_any_left = True  # as far as one can know
        if is_any_left:
            self.ring_all(tenants)
