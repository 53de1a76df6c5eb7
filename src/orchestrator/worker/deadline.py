"""Until when an attempt may run."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime


class Deadline:
    """A moment that moves on while the task waits for a person."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment
        self._timeout: asyncio.Timeout | None = None

    @property
    def left(self) -> float:
        """Seconds until then; 0 or less when it has passed."""
        return (self.moment - datetime.now(UTC)).total_seconds()

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """TimeoutError once it has passed: what runs in the block is cancelled."""
        try:
            async with asyncio.timeout(self.left) as self._timeout:
                yield
        finally:
            self._timeout = None

    @contextmanager
    def standing_still(self) -> Generator[None]:
        """What the block takes is added to it."""
        began = datetime.now(UTC)
        self._reschedule(None)
        try:
            yield
        finally:
            self.move_to(self.moment + (datetime.now(UTC) - began))

    def move_to(self, moment: datetime) -> None:
        """The service has said so."""
        self.moment = moment
        self._reschedule(asyncio.get_running_loop().time() + self.left)

    def _reschedule(self, when: float | None) -> None:
        # One that has passed already is on its way as a cancellation.
        if self._timeout and not self._timeout.expired():
            self._timeout.reschedule(when)
