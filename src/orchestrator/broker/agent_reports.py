"""What agents report, on its way to the callback queues: what waits for the same queue goes in one push."""

import asyncio
from collections import deque
from typing import Final

from orchestrator.broker.outages import AwayError, Outages
from orchestrator.broker.scripts import Scripts

PUSHED_AT_ONCE: Final = 64
BYTES_AT_ONCE: Final = 256 * 1024
"""A callback may have a MiB; then it goes alone."""

_Waiting = deque[tuple[bytes, asyncio.Future[None]]]


class AgentReports:
    """Pushes callbacks, each queue's in the order in which they came, again and again while Redis is away.

    A push whose answer got lost arrives twice. That is safe only because the service drops a `seq` and an ending that
    it has seen.
    """

    def __init__(self, scripts: Scripts, outages: Outages) -> None:
        self._scripts = scripts
        self._outages = outages
        self._waiting: dict[str, _Waiting] = {}
        self._pushing: set[asyncio.Task[None]] = set()

    async def push(self, queue: str, payload: bytes) -> None:
        """Returns once it is there; whoever is cancelled before it left has not reported it."""
        there = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(queue)
        if waiting is None:
            waiting = self._waiting[queue] = deque()
            task = asyncio.create_task(self._push_all(queue, waiting))
            self._pushing.add(task)
            task.add_done_callback(self._pushing.discard)
        waiting.append((payload, there))
        await there

    async def close(self) -> None:
        """Give up what has not left."""
        for task in self._pushing:
            task.cancel()
        await asyncio.gather(*self._pushing, return_exceptions=True)

    async def _push_all(self, queue: str, waiting: _Waiting) -> None:
        try:
            while some := _next(waiting):
                await self._push(queue, [payload for payload, _ in some])
                for _, there in some:
                    if not there.done():
                        there.set_result(None)
        finally:
            del self._waiting[queue]

    async def _push(self, queue: str, payloads: list[bytes]) -> None:
        while True:
            pushing = self._scripts.command(queue, "LPUSH", queue, *payloads)
            try:
                await self._outages.tried("report", pushing)
            except AwayError:
                await self._outages.pause()
            else:
                return


def _next(waiting: _Waiting) -> list[tuple[bytes, asyncio.Future[None]]]:
    """What goes next, without what nobody reports any more."""
    some: list[tuple[bytes, asyncio.Future[None]]] = []
    size = 0
    while waiting and len(some) < PUSHED_AT_ONCE:
        payload, there = waiting[0]
        if some and size + len(payload) > BYTES_AT_ONCE:
            break
        waiting.popleft()
        if not there.done():
            some.append((payload, there))
            size += len(payload)
    return some
