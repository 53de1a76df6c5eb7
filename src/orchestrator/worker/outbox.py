"""Pieces of an answer on their way out: the first at once, then those of a moment together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

LARGEST_CHUNK: Final = 32 * 1024
"""Bytes of UTF-8; a longer piece of text is sent in several."""
MOST_UNSENT: Final = 64 * 1024
"""Bytes of UTF-8 that may wait before `put` makes its caller wait, too."""

Send = Callable[[str], Awaitable[None]]


class Timer(Protocol):
    """What has not come yet and may be called off."""

    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls a function once so many seconds have passed, as `call_later` of an event loop does."""


class Outbox:
    """Sends text in the order in which it was put, `interval` seconds after the last at the earliest.

    What is put meanwhile is joined. With an interval of 0 each `put` sends by itself and returns
    when that is done. An error of `send` is raised by the next `put` or `flush`.
    """

    def __init__(self, send: Send, interval: float, later: Later | None = None) -> None:
        self._send = send
        self._interval = interval
        self._later = later
        self._waiting: list[str] = []
        self._unsent = 0
        self._may_send = True
        self._timer: Timer | None = None
        self._sending: asyncio.Task[None] | None = None

    async def put(self, text: str) -> None:
        """Takes `text`; waits only while more than MOST_UNSENT bytes are not sent."""
        if self._interval <= 0:
            await self._send_in_pieces(text)
            return
        if text:
            self._waiting.append(text)
        self._unsent += len(text.encode())
        self._go()
        # An agent that never awaits anything else would keep every other task from moving.
        await asyncio.sleep(0)
        while self._unsent > MOST_UNSENT:
            await self._moved_on()

    async def flush(self) -> None:
        """Returns once everything that was put is sent, without waiting for the interval."""
        while self._waiting or self._sending:
            await self._moved_on()

    def drop(self) -> None:
        """Forgets what is not sent, and sends nothing more of it."""
        self._waiting.clear()
        self._unsent = 0
        self._rest()
        sending, self._sending = self._sending, None
        if sending and not sending.cancel() and not sending.cancelled():
            sending.exception()  # seen, or asyncio would complain

    async def _moved_on(self) -> None:
        """One step further: what waits is handed over to be sent, and what is being sent arrives."""
        self._may_send = True
        self._go()
        if self._sending:
            # Whoever waits here may be cancelled; what is being sent goes on for the others.
            await asyncio.shield(self._sending)

    def _go(self) -> None:
        full = self._unsent >= LARGEST_CHUNK
        if self._sending and self._sending.done():
            self._sending.result()
        if self._waiting and not self._sending and (self._may_send or full):
            self._sending = asyncio.create_task(self._send_waiting())

    async def _send_waiting(self) -> None:
        self._rest()
        self._may_send = False
        later = self._later or asyncio.get_running_loop().call_later
        self._timer = later(self._interval, self._interval_over)
        text = "".join(self._waiting)
        self._waiting.clear()
        await self._send_in_pieces(text)
        self._unsent -= len(text.encode())
        self._sending = None
        self._go()

    def _interval_over(self) -> None:
        self._may_send = True
        self._go()

    def _rest(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def _send_in_pieces(self, text: str) -> None:
        for piece in _pieces(text):
            await self._send(piece)


def _pieces(text: str) -> Iterator[str]:
    if len(text.encode()) <= LARGEST_CHUNK:
        if text:
            yield text
        return
    # No character takes more than four bytes, so that many characters always fit.
    for start in range(0, len(text), LARGEST_CHUNK // 4):
        yield text[start : start + LARGEST_CHUNK // 4]
