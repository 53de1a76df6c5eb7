"""What waits for a socket's application, and whether its peer reads: asyncio's kin of these weigh 3 KB a socket."""

import asyncio
from collections.abc import Callable
from typing import Any

_Message = Any


class Inbox:
    """Messages in their order, for one reader; `on_put` is called with each that comes."""

    __slots__ = ("_messages", "_waiter", "on_put")

    def __init__(self) -> None:
        self._messages: list[_Message] = []
        self._waiter: asyncio.Future[None] | None = None
        self.on_put: Callable[[], None] | None = None

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._messages

    def qsize(self) -> int:
        """How many wait."""
        return len(self._messages)

    def put_nowait(self, message: _Message) -> None:
        """Add one."""
        self._messages.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.on_put is not None:
            self.on_put()

    async def get(self) -> _Message:
        """The next, as soon as there is one."""
        while not self._messages:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._messages.pop(0)


class Gate:
    """As `asyncio.Event`, for the few who ever wait at it."""

    __slots__ = ("_waiters", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        """Whether nobody has to wait."""
        self._waiters: set[asyncio.Future[None]] | None = None

    def clear(self) -> None:
        """Have everybody wait."""
        self.is_open = False

    def set(self) -> None:
        """Let everybody pass."""
        self.is_open = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Pass as soon as it is open."""
        if self.is_open:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = set()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            if self._waiters:
                self._waiters.discard(waiter)
