"""A TCP proxy on the loopback with the faults of a network; it lives in a thread, for tests of either kind.

    with proxy(valkey.port, redis=True) as between:
        url = f"redis://127.0.0.1:{between.port}/0"
        between.drop_messages(every=50)         # of Pub/Sub, replies are left alone; 1: all of them
        between.swallow()                       # half-open: connections stay, and nothing comes through
        between.latency = 0.2                   # seconds, each way
        between.reset()                         # RST to both sides of every connection
        between.heal()

With `redis` the side of the server speaks RESP. Bytes that were swallowed are gone, and no TCP connection skips bytes:
one that lost some is silent in that direction for good, also after `heal()`, as behind a firewall that forgot it. New
ones are well.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Collection, Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Final, Literal, NamedTuple

from tests.faults.resp import Message, Values

Way = Literal["to_server", "to_client"]
WAYS: Final[tuple[Way, Way]] = ("to_server", "to_client")

MESSAGES: Final = frozenset({"message", "smessage", "pmessage"})
RINGS: Final = frozenset({"invalidate"})
"""What `CLIENT TRACKING` tells."""

_CHUNK: Final = 65_536
_UNDER_WAY_MAX: Final = 256
_DIAL_SECONDS: Final = 5.0


class Loss(NamedTuple):
    """Which messages do not arrive."""

    every: int
    kinds: Collection[str]
    spared: str

    def meets(self, message: Message) -> bool:
        """Whether a message is among those of which every n-th is lost."""
        spared = self.spared and message.channel.endswith(self.spared)
        return message.kind in self.kinds and not spared


class Proxy:
    """Stands before `127.0.0.1:target`. Every method may be called from any thread, at any time."""

    def __init__(self, target: int, *, redis: bool = False) -> None:
        self.port = 0
        self.latency = 0.0
        """Seconds that everything takes longer, each way; order is kept."""
        self.messages = 0
        """How many messages came that a loss was asked for, and how many of them were dropped."""
        self.dropped = 0
        self._target = target
        self._redis = redis
        self._swallowed: frozenset[Way] = frozenset()
        self._loss: Loss | None = None
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    def drop_messages(self, every: int, kinds: Collection[str] = MESSAGES, spared: str = "") -> None:
        """From now on every n-th message of these kinds is lost, whoever is to hear it; not those of channels that
        end with `spared`. 0: none is.
        """
        self.messages = self.dropped = 0
        self._loss = Loss(every, kinds, spared) if every else None

    def swallow(self, *ways: Way) -> None:
        """From now on nothing comes through these ways (default: both), on connections that are open and on new ones;
        neither data nor an end.
        """
        self._swallowed = frozenset(ways or WAYS)

    def reset(self) -> None:
        """End every connection by an RST to both sides; new ones are let through."""
        self._call(self._reset_all())

    def heal(self) -> None:
        """As at the beginning, but for connections that have lost something."""
        self._swallowed, self._loss, self.latency = frozenset(), None, 0.0

    # The thread

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        """End everything."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server
        self._server.close()
        await self._reset_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _reset_all(self) -> None:
        for link in tuple(self._links):
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                beyond, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # nobody is there, or nobody answers
            _reset(writer)
            return
        link = _Link(self, writer, onward)
        self._links.add(link)
        try:
            with suppress(
                asyncio.CancelledError
            ):  # the test is over; Python 3.11 would report it as an error
                await asyncio.gather(
                    link.carry(reader, onward, "to_server"), link.carry(beyond, writer, "to_client")
                )
        finally:
            self._links.discard(link)
            link.close()

    # What a connection asks

    def is_swallowed(self, way: Way) -> bool:
        """Whether nothing comes through this way."""
        return way in self._swallowed

    @property
    def speaks_resp(self) -> bool:
        """Whether the server is a Redis."""
        return self._redis

    def is_lost(self, message: Message | None) -> bool:
        """Whether this message is to be dropped; counts it."""
        loss = self._loss
        if message is None or loss is None or not loss.meets(message):
            return False
        self.messages += 1
        lost = self.messages % loss.every == 0
        self.dropped += lost
        return lost


class _Link:
    """One connection, with its two ends."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._ends = (client, server)
        self._silent: set[Way] = set()
        self._values = Values() if proxy.speaks_resp else None

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        """One direction, to its end; what ends it ends the other, too, unless nobody may notice."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY_MAX)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._depart(reader, under_way))
            both.create_task(self._arrive(under_way, writer, way))

    async def _depart(
        self, reader: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await under_way.put((loop.time() + self._proxy.latency, data))
        await under_way.put((loop.time() + self._proxy.latency, b""))

    async def _arrive(
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, way: Way
    ) -> None:
        loop = asyncio.get_running_loop()
        ended = False
        while not ended:
            due, data = await under_way.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            ended = not data
            if self._proxy.is_swallowed(way):
                self._silent.add(way)
            if way in self._silent:
                continue
            if ended:
                self.close()
            else:
                await self._write(writer, self._left_of(data, way))

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if writer.is_closing():  # asyncio would complain of each
            return
        try:
            writer.write(data)
            await writer.drain()
        except OSError:  # the reader of that side notices
            pass

    def _left_of(self, data: bytes, way: Way) -> bytes:
        if self._values is None or way == "to_server":
            return data
        return b"".join(
            value for value, message in self._values.feed(data) if not self._proxy.is_lost(message)
        )

    def close(self) -> None:
        """End both sides as one does."""
        for end in self._ends:
            end.close()

    def reset(self) -> None:
        """End both sides by an RST."""
        for end in self._ends:
            _reset(end)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closing without lingering sends RST in the place of what waits, and of FIN."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def proxy(target: int, *, redis: bool = False) -> Generator[Proxy]:
    """A running proxy before a port of this machine; it ends with all its connections."""
    between = Proxy(target, redis=redis)
    between.start()
    try:
        yield between
    finally:
        between.stop()
