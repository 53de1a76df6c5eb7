"""An agent that speaks to Redis with plain commands, as any agent in any language does."""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis

_TASK: Final = re.compile(rb'"task_id": ?"([^"]+)"')
Command = Sequence[str | bytes | int]
# As hiredis takes it; its stub knows commands of one word.
_pack: Final = cast(Callable[[tuple[str | bytes | int, ...]], bytes], hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


class Redis(asyncio.Protocol):
    """A connection that sends commands and returns their replies, in order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: list[asyncio.Future[Any]] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.pop(0).set_result(reply)

    def send(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send one command; the future gives its reply."""
        assert self._transport is not None, "not connected"
        reply = asyncio.get_running_loop().create_future()
        self._waiting.append(reply)
        self._transport.write(_pack(tuple(command)))
        return reply

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


async def connect(socket_path: str) -> Redis:
    """A connection to the Valkey of this socket."""
    _, protocol = await asyncio.get_running_loop().create_unix_connection(Redis, socket_path)
    return protocol


def task_ids(payloads: Sequence[bytes]) -> list[bytes]:
    """The ids of tasks as they were pushed."""
    return [_TASK.search(payload)[1] for payload in payloads]  # pyright: ignore[reportOptionalSubscript]


def ending(task: bytes) -> bytes:
    """The callback that answers a task."""
    return b'{"task_id":"%b","status":"completed","result":{"response":"hello"}}' % task


def running(task: bytes) -> bytes:
    """The callback that says that an agent has it."""
    return b'{"task_id":"%b","status":"running"}' % task


def chunk(task: bytes, seq: int, delta: bytes = b"word ") -> bytes:
    """The callback with a piece of the answer."""
    return b'{"task_id":"%b","status":"streaming","seq":%d,"result":{"delta":"%b"}}' % (task, seq, delta)


class Answering:
    """Answers every task of a queue at once; as many at a time as wait."""

    def __init__(self, redis: Redis, queue: str, callbacks: str) -> None:
        self._redis, self._queue, self._callbacks = redis, queue, callbacks
        self.answered = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            _, first = await self._redis.send("BRPOP", self._queue, 0)
            more: list[bytes] = await self._redis.send("RPOP", self._queue, 99) or []
            answers = [ending(task) for task in task_ids([first, *more])]
            self.answered += len(answers)
            await self._redis.send("LPUSH", self._callbacks, *answers)
