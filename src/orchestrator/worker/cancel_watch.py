"""Watches for cancellation on behalf of all running tasks at once."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.broker.together import Together

_INTERVAL: Final = 0.5
"""Seconds; one pipeline each, whatever the number of tasks. Mostly a worker was told long before."""
_ASKED_AT_ONCE: Final = 256


class CancelWatch:
    """Calls back when the `cancel_key` of a running task appears."""

    def __init__(self, queues: AgentQueues) -> None:
        self._queues = queues
        self._calls: dict[str, list[Callable[[], object]]] = {}
        self._busy = asyncio.Event()
        self._asking = Together(self._are_cancelled, most=_ASKED_AT_ONCE, bytes_most=1, size_of=lambda _: 0)

    @contextmanager
    def watching(self, cancel_key: str | None, call: Callable[[], object]) -> Generator[None]:
        """Watches `cancel_key` while the block runs; two attempts may share a key."""
        if cancel_key is None:
            yield
            return
        self._calls.setdefault(cancel_key, []).append(call)
        self._busy.set()
        try:
            yield
        finally:
            self._forget(cancel_key, call)

    async def is_cancelled(self, cancel_key: str) -> bool:
        """Whether the key is there now; those who ask at the same time are answered together."""
        return await self._asking.add("", cancel_key)

    async def _are_cancelled(self, _: str, cancel_keys: list[str]) -> list[bool]:
        found = await self._queues.cancelled(cancel_keys)
        return [key in found for key in cancel_keys]

    async def run(self) -> None:
        """Looks every interval, as long as there is something to look for."""
        while True:
            await self._busy.wait()
            await asyncio.sleep(_INTERVAL)
            if not self._calls:
                continue
            for key in await self._queues.cancelled(list(self._calls)):
                for call in tuple(self._calls.get(key, ())):
                    call()

    def _forget(self, cancel_key: str, call: Callable[[], object]) -> None:
        calls = self._calls[cancel_key]
        calls.remove(call)
        if not calls:
            del self._calls[cancel_key]
        if not self._calls:
            self._busy.clear()
