"""The delivery side as the service puts it together, without its edges: the test plays the peers."""

import asyncio
import io
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.broker.tenant import Tenant
from tests.servers import wait_until

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.explanations import Explanations
from orchestrator.broker.listener import Listener
from orchestrator.broker.rights import Rights
from orchestrator.broker.turns import Turns
from orchestrator.delivery.callback_handler import CallbackHandler
from orchestrator.delivery.callback_worker import CallbackWorker
from orchestrator.delivery.connection import Connection, Gone, Write
from orchestrator.delivery.endings import Endings
from orchestrator.delivery.ledgers import Ledgers
from orchestrator.delivery.session_log import SessionLog
from orchestrator.delivery.settlements import Settlements
from orchestrator.delivery.sweeper import Sweeper
from orchestrator.delivery.websocket_manager import WebSocketManager
from orchestrator.dispatch.due_pushes import DuePushes
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.dispatch.explanation import Explainer
from orchestrator.dispatch.pace import Pace
from orchestrator.dispatch.supervision import Supervision
from orchestrator.dispatch.turn_taking import TurnTaking
from orchestrator.metrics import Counter, Metrics, by_label
from orchestrator.protocol.events import SessionName
from orchestrator.protocol.position import Position
from orchestrator.telemetry import configure_logging


class Parts:
    """What delivers, wired to one server; it hears its own doorbell and channels once `listening`."""

    def __init__(self, tenant: Tenant) -> None:
        self.lines = io.StringIO()
        self.tenant = tenant
        log, self.metrics = configure_logging("DEBUG", "json", stream=self.lines), Metrics()
        self.agenda = Agenda(tenant.broker)
        errands = ErrandRunner(tenant.admissions, log)
        self.turns = TurnTaking(Turns(tenant.broker), errands, log)
        explanations = Explanations(tenant.broker.run)
        self.pace = Pace(explanations)
        self.explainer = Explainer(explanations, tenant.tasks, tenant.broker.keys)
        endings = Endings(self.metrics, log, self.turns, self.pace)
        self.due_pushes = DuePushes(tenant.tasks, self.agenda, errands, tenant.broker.clock)
        self.handler = CallbackHandler(tenant.callbacks, endings, self.due_pushes.attend, self.metrics, log)
        self.rights = Rights(tenant.broker)
        self.worker = CallbackWorker(
            self.handler, self.rights, log, is_cluster=tenant.broker.topology.is_cluster
        )
        self.later = 0.0  # seconds that the sweeper believes to have passed besides
        self.sweeper = Sweeper(
            now=lambda: time.monotonic() + self.later,
            agenda=self.agenda,
            tasks=tenant.tasks,
            errands=errands,
            worker=self.worker,
            rights=self.rights,
            endings=endings,
            explainer=self.explainer,
            metrics=self.metrics,
            log=log,
        )
        self.supervision = Supervision(
            tasks=tenant.tasks,
            due_pushes=self.due_pushes,
            pump=self.sweeper.pump,
            note_ended=endings.note,
            note_moves=endings.note_moves,
            metrics=self.metrics,
            log=log,
        )
        self.ledgers = Ledgers(tenant.tasks, tenant.logs, self.explainer, tenant.broker.clock)
        self.session_log = SessionLog(tenant.logs)
        self.settlements = Settlements(tenant.logs)
        self.listener = Listener(tenant.broker, "r1", self)
        self.manager = WebSocketManager(
            "r1", tenant.broker.keys, self.session_log, self.listener, self.metrics
        )

    def on_message(self, channel: str, message: bytes) -> None:
        """A batch came."""
        self.manager.on_message(channel, message)

    def on_ring(self, queue: str, server: int) -> None:
        """The doorbell rang."""
        name = self.tenant.broker.keys.tenant_of(queue)
        if name:
            self.worker.hear(name)

    def on_gap(self) -> None:
        """Nothing was missed that a test relies on."""

    def on_deaf(self, reason: str) -> None:
        """Nor while nothing was heard."""

    @property
    def events(self) -> list[str]:
        """The names of what was logged, in order."""
        return [json.loads(line)["event"] for line in self.lines.getvalue().splitlines()]

    def counted(self, counter: Counter) -> dict[str, int]:
        """What a counter stands at, by its label."""
        return by_label(self.metrics.snapshot(), counter)

    @asynccontextmanager
    async def pumping(self) -> AsyncGenerator[None]:
        """While the callback worker runs."""
        running = asyncio.create_task(self.worker.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """While channels and doorbell are heard, and the worker runs."""
        await self.listener.refresh()
        self.listener.ring(lambda _: True)
        await wait_until(lambda: self.listener.healthy)
        async with self.pumping():
            try:
                yield
            finally:
                await self.listener.close()


class Reader:
    """A socket whose peer the test plays: it reads as long as its gate is open."""

    def __init__(self, parts: Parts, session: str = "sess-1") -> None:
        self.parts = parts
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.gone = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.connection = Connection(self, SessionName(parts.tenant.name, session, ""), "free", "")
        self.writing: asyncio.Task[None] | None = None

    @property
    def at_once(self) -> Write | None:
        """Takes frames while the peer reads."""
        return self._take if self.gate.is_set() else None

    def _take(self, frames: Sequence[bytes]) -> None:
        if self.gone:
            raise Gone
        self.frames += map(json.loads, frames)

    async def send(self, frames: Sequence[bytes]) -> None:
        """Take frames when the peer reads."""
        await self.gate.wait()
        self._take(frames)

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye."""
        self.closed = (code, reason)

    async def open(self, resume: Position | str = "live", sockets_max: int = 9) -> str:
        """Attach, and write from now on; the outcome."""
        manager = self.parts.manager
        opened, events = await manager.attach(
            self.connection, resume, validate=False, sockets_max=sockets_max
        )
        if opened.outcome == "opened":
            manager.start(self.connection, opened, events)
            self.writing = asyncio.create_task(self.connection.write(self.parts.session_log))
        return opened.outcome

    async def leave(self) -> None:
        """Go, and wait for the writer's end."""
        self.connection.leave()
        if self.writing:
            await self.writing
        self.parts.manager.detach(self.connection)

    @property
    def offsets(self) -> list[int]:
        """The offsets that the frames prove, one after the other; fails at a hole."""
        proven: list[int] = []
        for frame in self.frames:
            if "position" in frame:
                offset = int(frame["position"].split(":")[1].split("-")[0])
                assert not proven or offset == proven[-1] + frame.get("covers", 1)
                proven.append(offset)
        return proven
