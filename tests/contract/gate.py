"""A door between the service and Redis or Postgres, which a test can shut."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Gate:
    """A TCP port that leads to another server while it is open.

    `shut()` cuts every connection and refuses new ones. `shut_after(text)` does so as soon as a
    request that contains `text` has been passed on, so that it is carried out and never answered.
    `hold_after(text)` keeps everything back that follows such a request, until `release()`;
    `holding` is set when it has something.
    """

    def __init__(self, dial: Dial) -> None:
        self.port = 0
        self._dial = dial
        self._is_open = True
        self._last_words: bytes | None = None
        self._hold_words: bytes | None = None
        self._free = asyncio.Event()
        self._free.set()
        self.holding = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def shut(self) -> None:
        """Nobody gets through any more."""
        self._is_open = False
        for writer in self._writers:
            writer.close()

    def shut_after(self, text: bytes) -> None:
        """The next request with `text` is the last that gets through, and gets no answer."""
        self._last_words = text

    def hold_after(self, text: bytes) -> None:
        """The next request with `text` gets its answer when it is released."""
        self._hold_words = text

    def release(self) -> None:
        """Lets go of what was held."""
        self._hold_words = None
        self._free.set()

    def open(self) -> None:
        """As at the beginning."""
        self._is_open, self._last_words = True, None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        if not self._is_open:
            writer.close()
            return
        beyond, onward = await self._dial()
        pair = {writer, onward}
        self._writers |= pair
        try:
            await asyncio.gather(self._forward(reader, onward, True), self._forward(beyond, writer, False))
        except OSError:
            pass  # either side has gone
        finally:
            self._writers -= pair
            for end in pair:
                end.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, outward: bool
    ) -> None:
        while data := await reader.read(65_536):
            if outward:
                self._listen(data)
            elif not self._is_open:
                break
            elif not self._free.is_set():
                self.holding.set()
                await self._free.wait()
            writer.write(data)
            await writer.drain()
        if not self._is_open:
            self.shut()
        writer.close()

    def _listen(self, request: bytes) -> None:
        if self._last_words and self._last_words in request:
            self._is_open = False
        if self._hold_words and self._hold_words in request:
            self._free.clear()


@asynccontextmanager
async def gate(dial: Dial) -> AsyncGenerator[Gate]:
    """A gate in front of what `dial` connects to, on a free port of the loopback."""
    door = Gate(dial)
    server = await asyncio.start_server(door.serve, "127.0.0.1", 0)
    door.port = server.sockets[0].getsockname()[1]
    try:
        yield door
    finally:
        door.release()
        door.shut()
        server.close()
