"""When sockets are pinged and how long pongs are waited for: some timers for all of them instead of two for each."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

_SLICES: Final = 64
"""Of a delay. What is due in the same one is called in one go: few enough for nobody to wait long."""


class Pinged(Protocol):
    """A socket that is kept alive."""

    def send_keepalive_ping(self) -> None:
        """It is time for a ping."""

    def keepalive_timeout(self) -> None:
        """Nothing has come since the last one."""


class Waits:
    """Calls back each of many once the same delay is over: never earlier, and later by a slice of it at most."""

    def __init__(self, delay: float, call: Callable[[Pinged], None]) -> None:
        self._delay = delay
        self._slice = delay / _SLICES
        self._call = call
        self._due: dict[int, set[Pinged]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, who: Pinged) -> int:
        """Call this one back; the slice in which it waits."""
        loop = asyncio.get_running_loop()
        number = int((loop.time() + self._delay) / self._slice) + 1
        self._due.setdefault(number, set()).add(who)
        if self._timer is None:
            self._timer = loop.call_later(self._slice, self._look)
        return number

    def end(self, who: Pinged, number: int) -> None:
        """Do not call it back."""
        if waiting := self._due.get(number):
            waiting.discard(who)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = int(loop.time() / self._slice)
        for number in [number for number in self._due if number <= now]:
            for who in self._due.pop(number):
                self._call(who)
        self._timer = loop.call_later(self._slice, self._look) if self._due else None


class Keepalive:
    """The pings of all sockets of a process; intervals in seconds."""

    def __init__(self, ping_interval: float, ping_timeout: float) -> None:
        self.pings: Final = Waits(ping_interval, lambda socket: socket.send_keepalive_ping())
        self.pongs: Final = Waits(ping_timeout, lambda socket: socket.keepalive_timeout())
