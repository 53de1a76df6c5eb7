"""How long a connection may rest between two requests."""

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Tells who rests for so long; one timer goes on where each rest would make one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def rest(self, on_over: Callable[[], None]) -> None:
        """From now on there is nothing to do; `on_over` is called where that lasts."""
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look, on_over)

    def stir(self) -> None:
        """There is something to do."""
        self._since = None

    def stop(self) -> None:
        """It is looked at no more."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, on_over: Callable[[], None]) -> None:
        self._timer = None
        if self._since is None:
            return  # the next rest begins anew
        left = self._since + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look, on_over)
        else:
            on_over()
