"""Many browsers at once, each with a socket that looks like a real one's."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.load.sockets import Counter, Viewer

# What Chrome sends with a handshake, so that what it weighs is in the figures.
BROWSER: Final[Mapping[str, str]] = {
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
    "Cookie": "session=8c2f3f0f0f8e4c9c9d0f6a0f2b7f8e11; theme=dark; consent=1",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
}
AT_ONCE: Final = 64
MARK: Final = b"@seen@"
"""In a text that is looked for: chunks may be merged, but what they say comes."""
_ACK: Final = b'"connection_ack"'
_PING: Final = 0x89


class Place(NamedTuple):
    """Which socket: its path, and what the handshake says besides."""

    path: str
    headers: Mapping[str, str] = {}


def place_of(tenant: str, session: str) -> Place:
    """A session of a tenant, by the URL alone."""
    return Place(f"/ws/{session}?tenant_id={tenant}&tier=professional")


class Watcher(Viewer):
    """A socket that knows whether it was let in; `seen` is told how many marked texts have come at once."""

    def __init__(self, place: Place, seen: Callable[[int], None] | None = None) -> None:
        super().__init__(place.path, _nobody_counts, {**BROWSER, **place.headers})
        self.admitted = False
        self.pings = 0
        self._seen = seen
        self._marked = Counter(MARK)

    def data_received(self, data: bytes) -> None:
        self.admitted |= not self.opened.done() and _ACK in data
        self.pings += data[0] == _PING
        super().data_received(data)
        if self._seen and (marked := self._marked.feed(data)):
            self._seen(marked)


class Crowd:
    """Open sockets."""

    def __init__(self, port: int, seen: Callable[[int], None] | None = None) -> None:
        self.watchers: list[Watcher] = []
        self._port = port
        self._seen = seen

    @property
    def pings(self) -> int:
        """How many have come."""
        return sum(watcher.pings for watcher in self.watchers)

    async def come(self, places: Sequence[Place]) -> None:
        """Open a socket for each, some at a time; everybody has to be let in."""
        waiting = iter(places)

        async def some() -> None:
            for place in waiting:
                self.watchers.append(await self._open(place))

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    def go(self) -> None:
        """All hang up."""
        for watcher in self.watchers:
            watcher.close()
        self.watchers.clear()

    async def _open(self, place: Place) -> Watcher:
        watcher = Watcher(place, self._seen)
        await asyncio.get_running_loop().create_connection(lambda: watcher, "127.0.0.1", self._port)
        await watcher.opened
        assert watcher.admitted, f"not let in: {place.path}"
        return watcher


def _nobody_counts(count: int) -> None:
    del count
