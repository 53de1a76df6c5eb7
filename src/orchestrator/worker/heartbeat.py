"""How often a worker says that it lives and goes on with what it has."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

_AGAIN: Final = 0.5
"""Seconds after a beat that failed: the service waits only a moment longer than a lease for workers to come back."""


class Heartbeat:
    """Calls `beat` every third of the lease, and soon again where it answers False."""

    def __init__(
        self,
        beat: Callable[[], Awaitable[bool]],
        lease: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._beat = beat
        self._third = lease / 3
        self._sleep = sleep

    async def run(self) -> None:
        """Beats for ever."""
        heard = True
        while True:
            await self._sleep(self._third if heard else min(_AGAIN, self._third))
            heard = await self._beat()
