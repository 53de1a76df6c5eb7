"""When sockets are pinged and how long pongs are waited for: some timers for all of them instead of two for each."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, Protocol

from orchestrator.api.lean_socket import LeanSocket

_SLICES: Final = 64
"""Of a delay. What is due in the same one is called in one go: few enough for nobody to wait long."""


_PONG_BYTES: Final = 10


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


class KeptAlive(LeanSocket):
    """uvicorn's protocol without timers of its own."""

    def __init__(self, *args: Any, keepalive: Keepalive, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keepalive = keepalive
        # In which slice of the pings it waits, or of the pongs while one is awaited.
        self._slice = 0
        self._pong_due = False
        self._ping = 0

    def start_keepalive(self) -> None:
        """The next ping is an interval away."""
        self._pong_due = False
        self._slice = self._keepalive.pings.begin(self)

    def stop_keepalive(self) -> None:
        """Nothing is sent and nothing awaited."""
        waits = self._keepalive.pongs if self._pong_due else self._keepalive.pings
        waits.end(self, self._slice)

    def send_keepalive_ping(self) -> None:
        """Pings, past the original's frames: it is the same for all."""
        if self.close_sent or self.transport.is_closing():
            return
        self._ping = random.getrandbits(32)
        self.transport.write(b"\x89\x04" + self._ping.to_bytes(4))
        self._pong_due = True
        self._slice = self._keepalive.pongs.begin(self)

    def keepalive_timeout(self) -> None:
        """Aborts: `close()` would wait for the flush to a peer that does not read, for ever."""
        if self.read_paused:  # its pong may be among what we do not read
            self._slice = self._keepalive.pongs.begin(self)
        else:
            self.transport.abort()

    def hear(self, data: bytes) -> bool:
        """Take this as a sign of life; whether it is the awaited pong and nothing else, as it is most of the time."""
        if not self._pong_due:
            return False
        self.stop_keepalive()
        self.start_keepalive()
        # Only who got the ping knows these four bytes.
        if len(data) != _PONG_BYTES or data[:2] != b"\x8a\x84":
            return False
        return int.from_bytes(data[2:6]) ^ int.from_bytes(data[6:]) == self._ping
