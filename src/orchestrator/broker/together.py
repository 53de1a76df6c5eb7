"""Calls that many share: what comes while one is under way goes along with the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from orchestrator.broker.connection import Refused
from orchestrator.loop_turn import OncePerTurn

ItemT = TypeVar("ItemT")
ReplyT = TypeVar("ReplyT")


CALLS_AT_ONCE: Final = 2
"""Of a key: while the replies of one are read, Redis has the next."""


class _Line(Generic[ItemT, ReplyT]):
    """Who waits for a call of a key, and how many calls are under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: deque[tuple[ItemT, asyncio.Future[ReplyT]]] = deque()
        self.calls = 0
        self.setting_out = OncePerTurn()


class Together(Generic[ItemT, ReplyT]):
    """Takes items by key and makes one call of a key at a time, for all that wait; another beside it if they fill one.

    So an item that comes alone goes at once, and the busier it is, the more share what a call costs. `call` answers
    each item, in their order. What it raises is raised for each; where it was `Refused`, which one of them may have
    brought about, each is called for by itself.
    """

    def __init__(
        self,
        call: Callable[[str, list[ItemT]], Awaitable[Sequence[ReplyT]]],
        *,
        most: int,
        bytes_most: int,
        size_of: Callable[[ItemT], int],
    ) -> None:
        self._call = call
        self._most, self._bytes_most = most, bytes_most
        self._size_of = size_of
        self._lines: dict[str, _Line[ItemT, ReplyT]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def add(self, key: str, item: ItemT) -> asyncio.Future[ReplyT]:
        """The item's answer; one that is cancelled before its call is made is left out."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(asyncio.get_running_loop())
        answer: asyncio.Future[ReplyT] = line.loop.create_future()
        line.waiting.append((item, answer))
        if not line.calls or (line.calls < CALLS_AT_ONCE and len(line.waiting) >= self._most):
            line.calls += 1
            task = line.loop.create_task(self._run(key, line))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return answer

    async def settled(self) -> None:
        """Return when every item that was added has its answer."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, key: str, line: _Line[ItemT, ReplyT]) -> None:
        try:
            while line.waiting:
                if line.calls > 1:
                    if line.setting_out.done:  # the other call's turn: see `OncePerTurn`
                        await asyncio.sleep(0)
                        continue
                    line.setting_out.note(line.loop)
                await self._answer(key, self._next(line.waiting))
        finally:
            line.calls -= 1
            if not line.calls:
                del self._lines[key]
                for _, answer in line.waiting:
                    answer.cancel()

    def _next(
        self, waiting: deque[tuple[ItemT, asyncio.Future[ReplyT]]]
    ) -> list[tuple[ItemT, asyncio.Future[ReplyT]]]:
        """Those that share the next call: one at least, however large."""
        some: list[tuple[ItemT, asyncio.Future[ReplyT]]] = []
        size = 0
        while waiting and len(some) < self._most:
            item, answer = waiting[0]
            size += self._size_of(item)
            if some and size > self._bytes_most:
                break
            waiting.popleft()
            if not answer.done():
                some.append((item, answer))
        return some

    async def _answer(self, key: str, some: list[tuple[ItemT, asyncio.Future[ReplyT]]]) -> None:
        try:
            replies = await self._call(key, [item for item, _ in some]) if some else ()
            for (_, answer), reply in zip(some, replies, strict=True):
                if not answer.done():
                    answer.set_result(reply)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            if len(some) > 1 and isinstance(error, Refused) and not error.within_script:
                for one in some:
                    await self._answer(key, [one])
            else:
                _fail(some, error)


def _fail(some: Sequence[tuple[object, "asyncio.Future[ReplyT]"]], error: Exception) -> None:
    for _, answer in some:
        if not answer.done():
            answer.set_exception(error)
            answer.exception()  # one that nobody waits for any more is no warning
