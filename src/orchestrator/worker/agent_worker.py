"""The worker that agents are declared on (contract §9)."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from orchestrator.broker.agent_queues import AgentQueues, check_url
from orchestrator.broker.outages import Outage
from orchestrator.protocol.context import CONTEXT_TYPES, canonical_id
from orchestrator.protocol.identifiers import is_valid_id
from orchestrator.worker.answer import Handler, is_handler
from orchestrator.worker.execution import CANCEL_TIMEOUT
from orchestrator.worker.lifespan import Lifespan, checked, opened
from orchestrator.worker.log import Log, WorkerEvent
from orchestrator.worker.runner import LEASE, Runner

DEFAULT_REDIS_URL: Final = "redis://localhost:6379/0"
CHUNK_INTERVAL: Final = 0.025
"""Seconds; forty updates a second look like typing, and a model writes faster."""
_LEASE_VARIABLE: Final = "ORCHESTRATOR_LEASE"
_LEASE_BOUNDS: Final = 0.1, 3600.0

_HandlerT = TypeVar("_HandlerT", bound=Handler)
_LifespanT = TypeVar("_LifespanT", bound=Lifespan)


class AgentWorker:
    """Runs tasks of the contexts that are declared on it, `concurrency` at a time.

    Without `redis_url` it uses REDIS_URL from the environment. `stop_timeout` is how many seconds
    running tasks may still take once the worker is asked to stop. `lifespan` opens what tasks
    share: see the method of that name. Chunks that follow the last callback within
    `chunk_interval` seconds are reported together; with 0 each is reported by itself. Others take
    over its tasks once it was not heard for `lease` seconds, else ORCHESTRATOR_LEASE, else 15. A
    function that ignores its cancellation for `cancel_timeout` seconds loses its slot.
    """

    def __init__(
        self,
        concurrency: int = 16,
        redis_url: str | None = None,
        *,
        stop_timeout: float = 30.0,
        lifespan: Lifespan | None = None,
        chunk_interval: float = CHUNK_INTERVAL,
        lease: float | None = None,
        cancel_timeout: float = CANCEL_TIMEOUT,
    ) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        if chunk_interval < 0:
            raise ValueError("chunk_interval must not be negative")
        if lease is not None:
            _seconds("lease", lease)
        if redis_url:
            check_url(redis_url)
        self.concurrency = concurrency
        self.stop_timeout = stop_timeout
        self.chunk_interval = chunk_interval
        self.lease = lease
        self.cancel_timeout = cancel_timeout
        self._redis_url = redis_url
        self._lifespan = checked(lifespan) if lifespan else None
        self._handlers: dict[str, Handler] = {}
        self._running = False
        self._stopping = False
        self._runner: Runner | None = None
        self._finished = asyncio.Event()

    @property
    def context_ids(self) -> tuple[str, ...]:
        """Whose tasks this worker takes, in the order of declaration."""
        return tuple(self._handlers)

    def handler(self, context_id: str) -> Handler:
        """The function that answers for this context; KeyError where there is none."""
        return self._handlers[context_id]

    def lifespan(self, lifespan: _LifespanT) -> _LifespanT:
        """Declares what is opened before the first task and closed after the last.

        It is an `async def` without parameters that yields once, or gives an asynchronous context
        manager. What it yields is `task.resources`; what it raises ends `run`.
        """
        if self._lifespan:
            raise ValueError("the lifespan is declared twice")
        self._lifespan = checked(lifespan)
        return lifespan

    def opened(self) -> AbstractAsyncContextManager[Any]:
        """The lifespan, to be entered: its value is `task.resources`."""
        return opened(self._lifespan)

    def agent(self, *agent_ids: str) -> Callable[[_HandlerT], _HandlerT]:
        """Declares the function that answers for these agents; `123` means `agent-123`.

        The function is an `async def` that takes a Task and returns text, or a dict for `result`,
        or yields chunks of text. ValueError where an id is bad or declared already.
        """
        return self._declare([id_ and canonical_id("agent", id_) for id_ in agent_ids])

    def context(self, *context_ids: str) -> Callable[[_HandlerT], _HandlerT]:
        """As `agent`, for contexts of any type: `agent-…`, `workflow-…`, `collection-…`."""
        for context_id in context_ids:
            if not context_id.startswith(tuple(f"{kind}-" for kind in CONTEXT_TYPES)):
                raise ValueError(f"{context_id!r} does not begin with a context type and a hyphen")
        return self._declare(list(context_ids))

    async def run(self, log: Log | None = None) -> None:
        """Takes and runs tasks until `stop`. Redis may come and go meanwhile.

        `log` is where it logs, else wherever structlog is configured to.
        ValueError where nothing is declared, or the Redis URL or ORCHESTRATOR_LEASE cannot be understood.
        """
        if not self._handlers:
            raise ValueError("the worker has no agents: declare one with @worker.agent(…)")
        if self._running:
            raise RuntimeError("the worker runs already")
        lease = self.lease or _seconds(_LEASE_VARIABLE, os.environ.get(_LEASE_VARIABLE) or LEASE)
        url = self._redis_url or os.environ.get("REDIS_URL") or DEFAULT_REDIS_URL
        lines: Log = log or structlog.get_logger("orchestrator.worker")
        self._running, self._stopping = True, False
        # A new event each time: a worker may run on several event loops, one after the other.
        self._finished = asyncio.Event()
        try:
            # The resources come first and go last: tasks that are stopped may still use them.
            async with self.opened() as resources, AgentQueues(url, partial(_log_outage, lines)) as queues:
                await self._work(queues, resources, lines, lease)
        finally:
            self._running = False
            self._finished.set()

    async def stop(self) -> None:
        """Takes nothing new, lets running tasks end within `stop_timeout` and hands the others over."""
        self._stopping = True
        if self._runner:
            self._runner.stop()
        if self._running:
            await self._finished.wait()

    async def _work(self, queues: AgentQueues, resources: Any, log: Log, lease: float) -> None:
        if self._stopping:
            return
        self._runner = Runner(
            self._handlers,
            queues,
            self.concurrency,
            log,
            lease=lease,
            cancel_timeout=self.cancel_timeout,
            resources=resources,
            chunk_interval=self.chunk_interval,
        )
        try:
            await self._runner.run(self.stop_timeout)
        finally:
            self._runner = None

    def _declare(self, context_ids: list[str]) -> Callable[[_HandlerT], _HandlerT]:
        if not context_ids:
            raise ValueError("name at least one id")
        for context_id in context_ids:
            if not is_valid_id(context_id):
                raise ValueError(f"{context_id!r} is not a valid id")

        def declare(handler: _HandlerT) -> _HandlerT:
            if not is_handler(handler):
                raise TypeError("an agent is an `async def` function")
            for context_id in context_ids:
                if context_id in self._handlers:
                    raise ValueError(f"{context_id} is declared twice")
                self._handlers[context_id] = handler
            return handler

        return declare


def _seconds(name: str, given: str | float) -> float:
    """A lease, within the bounds that the service has for it (docs/settings.md)."""
    least, most = _LEASE_BOUNDS
    with suppress(ValueError):
        if least <= (seconds := float(given)) <= most:
            return seconds
    raise ValueError(f"{name}={given} is not a number of seconds from {least:g} to {most:g}")


def _log_outage(log: Log, outage: Outage) -> None:
    if outage.error:
        log.warning(WorkerEvent.REDIS_UNREACHABLE, operation=outage.operation, error=outage.error)
    else:
        log.info(WorkerEvent.REDIS_RECOVERED, operation=outage.operation, seconds=outage.seconds)
