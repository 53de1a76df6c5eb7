"""What runs beside the web server: heartbeat, callback worker, sweeper, probes; start, drain, stop."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker, UnfitServer
from orchestrator.broker.connection import BrokerError, Refused, ReplyLost, Unavailable
from orchestrator.broker.keys import AGENDA_PARTS
from orchestrator.broker.listener import Listener
from orchestrator.broker.logs import Logs
from orchestrator.broker.rights import RIGHTS_SECONDS, Rights
from orchestrator.broker.roster import Roster
from orchestrator.delivery.callback_worker import CallbackWorker
from orchestrator.delivery.session_check import check_sessions, tell_sockets
from orchestrator.delivery.settlements import Settlements
from orchestrator.delivery.sweeper import LOOK_SECONDS, Sweeper
from orchestrator.delivery.websocket_manager import WebSocketManager
from orchestrator.dispatch.dispatcher import LOOK_SECONDS as DUTY_SECONDS
from orchestrator.dispatch.duty import DispatchDuty
from orchestrator.dispatch.pace import Pace
from orchestrator.figures import Figures, standing
from orchestrator.oversight import FOLLOW_SECONDS, RELOAD_SECONDS, Oversight
from orchestrator.protocol.identifiers import is_valid_id
from orchestrator.protocol.shares import Shares
from orchestrator.telemetry import Log, LogEvent

BEAT_SECONDS: Final = 1.0
BUSY_CHECK_SECONDS: Final = 2.0
IDLE_CHECK_SECONDS: Final = 40.0
DRAIN_BATCH: Final = 100
DRAIN_SPREAD_MS: Final = 2_000


class Runtime:
    """The background of one replica."""

    def __init__(
        self,
        *,
        replica: str,
        broker: Broker,
        roster: Roster,
        rights: Rights,
        agenda: Agenda,
        logs: Logs,
        worker: CallbackWorker,
        sweeper: Sweeper,
        duty: DispatchDuty,
        settlements: Settlements,
        figures: Figures,
        pace: Pace,
        log_ttl_seconds: float,
        log: Log,
    ) -> None:
        self.replica = replica
        self.draining = False
        self._beating = False
        self._began = 0.0
        self._broker = broker
        self._roster = roster
        self._rights = rights
        self._agenda = agenda
        self._logs = logs
        self._worker = worker
        self._sweeper = sweeper
        self._duty = duty
        self._settlements = settlements
        self._figures = figures
        self._pace = pace
        self._log = log
        self._live: tuple[str, ...] = ()
        # A log is kept while a socket follows it, so it has to be looked at well within its life.
        self._check_seconds = min(IDLE_CHECK_SECONDS, log_ttl_seconds / 3)
        self._shares = Shares(replica, (), AGENDA_PARTS)
        self._recheck = asyncio.Event()
        self._delivers = True
        self._refusals: dict[Callable[[], Awaitable[None]], str] = {}
        self._deaf = ""
        self._tasks: list[asyncio.Task[None]] = []
        self.manager: WebSocketManager
        self.listener: Listener
        self.oversight: Oversight

    def complete(self, listener: Listener, manager: WebSocketManager, oversight: Oversight) -> None:
        """Take the parts that need this object to exist first."""
        self.listener, self.manager, self.oversight = listener, manager, oversight

    @property
    def can_write(self) -> bool:
        """Whether Redis took the last heartbeat, and lets the service do what it does."""
        return self._beating and self._rights.granted

    async def start(self) -> None:
        """Check the server, join the roster, begin. Raises `BrokerError`."""
        await self._broker.check_server()
        try:
            await self._roster.claim_prefix()
            await self._broker.load_functions()
        except (Unavailable, Refused) as error:
            raise UnfitServer(f"REDIS_URL: {self._broker.topology.where} refuses writes: {error}") from error
        await self.oversight.start()
        await self._beat()
        await self._guarded(self._rights.look)
        await self.listener.refresh()
        self._set_bells()
        self._began = asyncio.get_running_loop().time()
        self._tasks = [
            asyncio.create_task(self._worker.run()),
            asyncio.create_task(self._settlements.run()),
            asyncio.create_task(self._every(BEAT_SECONDS, self._beat)),
            asyncio.create_task(self._every(RIGHTS_SECONDS, self._rights.look)),
            asyncio.create_task(self._every(BEAT_SECONDS, self._pace.tell)),
            asyncio.create_task(self._every(LOOK_SECONDS, self._sweep)),
            asyncio.create_task(self._every(LOOK_SECONDS, self._close_overdue)),
            asyncio.create_task(self._every(DUTY_SECONDS, self._do_duty)),
            asyncio.create_task(self._every(FOLLOW_SECONDS, self.oversight.look)),
            asyncio.create_task(self._every(FOLLOW_SECONDS, self.oversight.settle)),
            asyncio.create_task(self._every(RELOAD_SECONDS, self.oversight.reload)),
            asyncio.create_task(self._every(BUSY_CHECK_SECONDS, self._check_busy)),
            asyncio.create_task(self._check_all()),
        ]

    async def drain(self) -> None:
        """Not ready first; then the sockets go elsewhere, in batches and told to come back spread out."""
        if self.draining:
            return
        self.draining = True
        self._log.info(LogEvent.SERVICE_DRAINING, sockets=self.manager.count)
        with suppress(BrokerError):  # else the others notice by the missing heartbeat
            await self._roster.leave(self.replica)
        while self.manager.count:
            # One that does not read is slow to leave: the others must not wait for it.
            open_ones = [one for one in self.manager.connections() if one.closing is None]
            for connection in open_ones[:DRAIN_BATCH]:
                connection.close(1012, json.dumps({"retry_after_ms": random.randint(0, DRAIN_SPREAD_MS)}))
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Finish what is in hand and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._settlements.flush()
        await self.listener.close()
        with suppress(BrokerError):
            await self._roster.leave(self.replica)
            await self._add_totals()

    async def _add_totals(self) -> None:
        risen = self._figures.untold()
        await self._roster.add_totals(risen)
        self._figures.note_told(risen)

    # What the listener hears

    def on_message(self, channel: str, message: bytes) -> None:
        """A batch on a tenant's channel; whatever it is, it must not end the wire that brings everyone's."""
        try:
            self.manager.on_message(channel, message)
        except Exception as error:  # noqa: BLE001 - anyone with access to Redis can publish there
            self._log.error(LogEvent.UNEXPECTED_ERROR, exc_info=error)
            self._recheck.set()

    def on_ring(self, queue: str, server: int) -> None:
        """A push on somebody's callback queue."""
        tenant = self._broker.keys.tenant_of(queue)
        if tenant and is_valid_id(tenant) and self._shares.pumps(tenant, server):
            self._worker.hear(tenant)

    def on_gap(self) -> None:
        """Something may have been missed: look everywhere, soon."""
        self._recheck.set()

    def on_deaf(self, reason: str) -> None:
        """Why nothing can be heard; told with the next change of health."""
        self._deaf = reason

    # What happens again and again

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        # On one grid for all: what is due at the same moment goes to Redis in one write.
        loop, due = asyncio.get_running_loop(), self._began
        while True:
            due += seconds * (1 + max(0, int((loop.time() - due) / seconds)))
            await asyncio.sleep(due - loop.time())
            await self._guarded(work)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether `work` was done; one bad turn must not be the last."""
        try:
            await work()
        except (Unavailable, ReplyLost):
            self._refusals.pop(work, None)
            return False  # the wire says when Redis goes and comes back
        except BrokerError as error:
            if str(error) not in self._refusals.values():  # once while it lasts, not every second
                self._log.error(LogEvent.REDIS_REFUSED, error=str(error))
            self._refusals[work] = str(error)
            return False
        except Exception as error:  # noqa: BLE001 - a fault of ours
            self._log.error(LogEvent.UNEXPECTED_ERROR, exc_info=error)
            return False
        self._refusals.pop(work, None)
        return True

    async def _beat(self) -> None:
        try:
            await self._broker.set_clock()
            if not self.draining:
                told = standing(self._broker.clock.now(), delivers=self.listener.healthy)
                report = self._figures.report(self.manager.figures()) | told
                replicas = await self._roster.beat(self.replica, report)
                self._share(tuple(sorted(replicas)))
            await asyncio.gather(
                self._roster.claim_prefix(),
                self._add_totals(),
                self._roster.note_queues(self._figures.take_queues()),
            )
        except BrokerError:
            self._beating = False
            raise
        self._beating = True
        await tell_sockets(self.manager, self._logs, self.replica)
        if self._tasks:
            await self.listener.refresh()
            self._set_bells()

    def _set_bells(self) -> None:
        self.listener.ring(lambda server: self._shares.listens(server) and not self.draining)

    def _share(self, replicas: tuple[str, ...]) -> None:
        if replicas != self._live:
            self._live = replicas
            self._shares = Shares(self.replica, replicas, AGENDA_PARTS)
            self._recheck.set()  # tenants that became ours may have rung at somebody who is gone

    async def _sweep(self) -> None:
        self._note_health()
        if not self.listener.healthy:
            await self._ring_everyone()  # the bell is not heard: poll meanwhile
        await self._sweeper.sweep(self._shares)
        await self.manager.give_up_unused()

    async def _do_duty(self) -> None:
        await self._duty.look(on_duty=self._shares.dispatches and not self.draining)

    async def _close_overdue(self) -> None:
        # Apart from the sweep: it has to go on while Redis is away.
        self.manager.close_overdue()

    def _note_health(self) -> None:
        if self.listener.healthy != self._delivers:
            self._delivers = self.listener.healthy
            event = LogEvent.DELIVERY_RECOVERED if self._delivers else LogEvent.DELIVERY_DEGRADED
            if self._delivers:
                self._log.info(event)
            else:
                self._log.error(event, error=self._deaf)

    async def _ring_everyone(self) -> None:
        self._worker.ring_all([t for t in await self._agenda.tenants() if await self._pumps(t)])

    async def _pumps(self, tenant: str) -> bool:
        queue = self._broker.keys.callbacks(tenant)
        return self._shares.pumps(tenant, await self._broker.topology.server_of(queue))

    async def _check_busy(self) -> None:
        # Where nothing is heard, nothing tells which sessions have a task.
        await self._check(busy=self.listener.healthy)

    async def _check_all(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._check_seconds * random.uniform(0.8, 1.2)):
                    await self._recheck.wait()
            except TimeoutError:
                pass
            self._recheck.clear()
            if not await self._guarded(self._look_everywhere):
                self._recheck.set()
                await asyncio.sleep(BEAT_SECONDS)

    async def _look_everywhere(self) -> None:
        await self._ring_everyone()
        await self._check(busy=False)

    async def _check(self, *, busy: bool) -> None:
        await check_sessions(
            self.manager,
            self._logs,
            self.replica,
            busy=busy,
            is_cluster=self._broker.topology.is_cluster,
        )
