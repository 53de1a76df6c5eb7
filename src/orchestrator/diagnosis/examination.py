"""One examination: what the settings name, opened as far as it is there, and what was read of it already."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, cast

import msgspec

from orchestrator.broker.access_cache import open_broker
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import Argument, BrokerError, Reply, Wire
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.queues import QueueRow, Queues
from orchestrator.broker.roster import Roster
from orchestrator.metrics import Snapshot, merge
from orchestrator.settings import Settings
from orchestrator.store.store import Store

CHECK_SECONDS: Final = 2.0
"""How long one check may take."""
NAMES_MAX: Final = 5
"""How many of a kind are named in a line."""

Report = dict[str, Any]


class Server:
    """One Redis server, asked on a connection of its own."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name: Final = str(endpoint)
        self.wire: Final = Wire(endpoint)
        self._info: dict[str, str] = {}

    async def ask(self, *words: Argument) -> Reply:
        """The answer to one command. Raises as `Wire.call` does."""
        return await self.wire.call(*words)

    async def ask_all(self, commands: Sequence[Sequence[Argument]]) -> list[Reply | BrokerError]:
        """The answers to several commands that go out as one; an error is an answer."""
        calls = [self.wire.call(*words) for words in commands]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    async def info(self) -> dict[str, str]:
        """What it tells of itself, read once."""
        if not self._info:
            text = cast("bytes", await self.ask("INFO")).decode("utf-8", "replace")
            self._info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return self._info


class Examination:
    """What every check is handed."""

    def __init__(
        self, settings: Settings, broker: Broker, store: Store | None, stack: AsyncExitStack
    ) -> None:
        self.settings: Final = settings
        self.broker: Final = broker
        self.store: Final = store
        self.roster: Final = Roster(broker, settings.domain_name)
        self.agenda: Final = Agenda(broker)
        self.servers: list[Server] = []
        self.answering: set[str] = set()
        """`database`, `server` (a Redis server does), `redis` (and the keys of the deployment can be asked for)."""
        self.takes_writes = True
        """Whether Redis does, as far as it was asked; else no replica can tell of itself."""
        self._stack = stack
        self._reports: dict[str, Report] | None = None
        self._queues: list[QueueRow] | None = None

    def add_server(self, endpoint: Endpoint) -> Server:
        """A connection to a server, closed with the examination; it need not be there."""
        server = Server(endpoint)
        server.wire.start()
        self._stack.push_async_callback(server.wire.close)
        self.servers.append(server)
        return server

    async def reports(self) -> dict[str, Report]:
        """What each live replica told of itself last, read once."""
        if self._reports is None:
            self._reports = await self.roster.reports()
        return self._reports

    async def figures(self) -> Snapshot:
        """The figures of all live replicas, since each began."""
        reports = await self.reports()
        return merge(msgspec.convert(report.get("metrics", {}), Snapshot) for report in reports.values())

    async def queues(self) -> list[QueueRow]:
        """Execution queues used within a week, callback queues of tenants active within an hour; read once."""
        if self._queues is None:
            self._queues = await Queues(self.broker, self.agenda, self.roster).survey([])
        return self._queues


@asynccontextmanager
async def examination(settings: Settings) -> AsyncGenerator[Examination]:
    """Begin one; nothing has been reached yet."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(settings))
        store = None
        if settings.enable_access_validation:
            store = Store(settings.database_url, read_seconds=CHECK_SECONDS - 0.3)
            await stack.enter_async_context(store)
        yield Examination(settings, broker, store, stack)


def names(some: list[str]) -> str:
    """The first few of them, and how many more there are."""
    shown = ", ".join(some[:NAMES_MAX])
    return f"{shown} and {len(some) - NAMES_MAX} more" if len(some) > NAMES_MAX else shown


def age(seconds: float) -> str:
    """A span of time as one says it."""
    for unit, least in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * least:
            return f"{seconds / least:.0f} {unit}"
    return f"{seconds:.0f} s"
