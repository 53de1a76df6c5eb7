"""The worker that agents are declared on (contract §9)."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import structlog

from orchestrator.broker.agent_queues import AgentQueues, Outage, check_url
from orchestrator.protocol.context import CONTEXT_TYPES, canonical_id
from orchestrator.protocol.identifiers import is_valid_id
from orchestrator.worker.answer import Handler, is_handler
from orchestrator.worker.log import Log, WorkerEvent
from orchestrator.worker.runner import Runner

DEFAULT_REDIS_URL: Final = "redis://localhost:6379/0"

_HandlerT = TypeVar("_HandlerT", bound=Handler)


class AgentWorker:
    """Runs tasks of the contexts that are declared on it, `concurrency` at a time.

    Without `redis_url` it uses REDIS_URL from the environment. `stop_timeout` is how many seconds
    running tasks may still take once the worker is asked to stop.
    """

    def __init__(
        self, concurrency: int = 16, redis_url: str | None = None, *, stop_timeout: float = 30.0
    ) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        if redis_url:
            check_url(redis_url)
        self.concurrency = concurrency
        self.stop_timeout = stop_timeout
        self._redis_url = redis_url
        self._handlers: dict[str, Handler] = {}
        self._runner: Runner | None = None
        self._finished = asyncio.Event()

    @property
    def context_ids(self) -> tuple[str, ...]:
        """Whose tasks this worker takes, in the order of declaration."""
        return tuple(self._handlers)

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
        ValueError where nothing is declared or the Redis URL cannot be understood.
        """
        if not self._handlers:
            raise ValueError("the worker has no agents: declare one with @worker.agent(…)")
        if self._runner:
            raise RuntimeError("the worker runs already")
        url = self._redis_url or os.environ.get("REDIS_URL") or DEFAULT_REDIS_URL
        lines: Log = log or structlog.get_logger("orchestrator.worker")
        async with AgentQueues(url, partial(_log_outage, lines)) as queues:
            self._runner = Runner(self._handlers, queues, self.concurrency, lines)
            # A new event each time: a worker may run on several event loops, one after the other.
            self._finished = asyncio.Event()
            try:
                await self._runner.run(self.stop_timeout)
            finally:
                self._runner = None
                self._finished.set()

    async def stop(self) -> None:
        """Takes nothing new, lets running tasks end within `stop_timeout` and fails the others."""
        if self._runner:
            self._runner.stop()
            await self._finished.wait()

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


def _log_outage(log: Log, outage: Outage) -> None:
    if outage.error:
        log.warning(WorkerEvent.REDIS_UNREACHABLE, operation=outage.operation, error=outage.error)
    else:
        log.info(WorkerEvent.REDIS_RECOVERED, operation=outage.operation, seconds=outage.seconds)
