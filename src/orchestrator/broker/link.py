"""An open connection whose replies are read as they come.

redis-py opens it, as address, TLS, credentials and database want it, and then hands the transport over: it reads one
reply at a time through a stream and two coroutines, which costs more than all that we do with most replies.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

import hiredis
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisError

from orchestrator.broker.endpoint import CONNECT_TIMEOUT_SECONDS, Endpoint

Argument = str | bytes | int | float
OnReply = Callable[[Any], None]
"""Is given each reply, an error as `hiredis.ReplyError`; what it raises ends the link."""

_INCOMPLETE: Final = object()
_packed: Final = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


class Link(asyncio.Protocol):
    """Sends commands, and tells each reply."""

    def __init__(self, transport: asyncio.Transport, on_reply: OnReply, on_room: Callable[[], None]) -> None:
        self.full = False
        """Whether the server does not read: what would be sent now waits better where it can be taken back."""
        self._transport = transport
        self._on_reply = on_reply
        self._on_room = on_room
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._over: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def send(self, commands: Iterable[tuple[Argument, ...]]) -> None:
        """Send commands in one write."""
        self._transport.write(b"".join(map(_packed, commands)))

    def close(self) -> None:
        """End it as if nothing were amiss."""
        self._end(None)

    async def over(self) -> None:
        """Returns after `close`; raises why else the connection is over."""
        if error := await self._over:
            raise error

    def data_received(self, data: bytes) -> None:
        """Tells the replies that are complete."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self._on_reply(reply)
        except Exception as error:  # noqa: BLE001 - whatever it is, this connection can be read no further
            self._end(error)

    def pause_writing(self) -> None:
        """More waits to be read than the transport likes."""
        self.full = True

    def resume_writing(self) -> None:
        """The server has read enough of it."""
        self.full = False
        self._on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has ended it, or the network."""
        self._end(exc or Broken("Connection closed by server."))

    def _end(self, error: Exception | None) -> None:
        if not self._over.done():
            self._over.set_result(error)


@asynccontextmanager
async def linked(
    endpoint: Endpoint, on_reply: OnReply, on_room: Callable[[], None] = lambda: None, *, protocol: int = 2
) -> AsyncGenerator[Link]:
    """A link to a server, closed afterwards; `on_room` is told when it is no longer full."""
    connection: Any = endpoint.connection(protocol=protocol)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await connection.connect()
        transport = cast("asyncio.Transport", connection._writer.transport)  # noqa: SLF001  no public way to it
        link = Link(transport, on_reply, on_room)
        transport.set_protocol(link)
        yield link
    finally:
        with suppress(RedisError, OSError, TimeoutError):
            await connection.disconnect(nowait=True)
