"""People who send messages and see the answers, one after the other: closed loops of raw sockets."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import uuid4

from benchmarks.load.posts import Post, request
from benchmarks.load.sockets import Viewer


class Entrance(NamedTuple):
    """How a service is talked to: where, and with what."""

    port: int
    headers: Mapping[str, str]
    """Of every request; the session's comes besides."""
    socket: Callable[[str], str]
    """The path of a session's socket."""
    greeting: bytes = b""
    """What a viewer sends first, where the protocol wants that."""
    socket_headers: Mapping[str, str] = {}
    keyed: bool = False
    """Whether each message carries an Idempotency-Key."""
    message: str = "hello"


class Person:
    """One session: a connection for its messages and a socket for its answers."""

    def __init__(self, entrance: Entrance, session: str) -> None:
        self.session: Final = session
        self.latencies: Final[list[float]] = []
        """Seconds from the request to its ending at the socket."""
        self.on_endings: Callable[[int], None] | None = None
        """Is told of endings while none is awaited."""
        self.viewer: Final = Viewer(
            entrance.socket(session), self._ended, entrance.socket_headers, entrance.greeting
        )
        self._entrance = entrance
        self._post = Post(self._answered)
        self._left = 0
        self._awaits_endings = False
        self._open = 0  # the answer to the request and the ending, as far as they are awaited
        self._began = 0.0
        self._over: asyncio.Future[None] | None = None
        self._body = json.dumps({"message": entrance.message}).encode()
        self._request = self._prepared()

    async def come(self) -> None:
        """Connect both; returns with the first frame."""
        loop, port = asyncio.get_running_loop(), self._entrance.port
        await loop.create_connection(lambda: self._post, "127.0.0.1", port)
        await loop.create_connection(lambda: self.viewer, "127.0.0.1", port)
        await self.viewer.opened

    def go(self) -> None:
        """Hang up."""
        self._post.close()
        self.viewer.close()

    async def converse(self, messages: int) -> None:
        """So many messages, each sent once the one before was accepted and has ended here."""
        await self._through(messages, awaits_endings=True)

    async def send(self, messages: int) -> None:
        """So many messages, each sent once the one before was accepted."""
        await self._through(messages, awaits_endings=False)

    @property
    def talks(self) -> bool:
        """Whether a message of theirs is under way."""
        return self._over is not None and not self._over.done()

    async def _through(self, messages: int, *, awaits_endings: bool) -> None:
        self._left, self._awaits_endings = messages, awaits_endings
        self._over = asyncio.get_running_loop().create_future()
        self._next()
        await self._over

    def _next(self) -> None:
        assert self._over is not None, "in a conversation"
        if self._left == 0:
            self._over.set_result(None)
            return
        self._left -= 1
        self._open = 2 if self._awaits_endings else 1
        self._began = time.perf_counter()
        self._post.send(self._prepared() if self._entrance.keyed else self._request)

    def _answered(self, status: int, body: bytes) -> None:
        if status != 202:
            self._fail(f"{status} {body[:300]!r}")
            return
        self._done()

    def _ended(self, count: int) -> None:
        if not self._awaits_endings:
            if self.on_endings is not None:
                self.on_endings(count)
            return
        if count != 1:
            self._fail(f"{count} endings of one message")
            return
        self.latencies.append(time.perf_counter() - self._began)
        self._done()

    def _done(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._next()

    def _fail(self, why: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(AssertionError(f"{self.session}: {why}"))

    def _prepared(self) -> bytes:
        headers = {**self._entrance.headers, "X-Session-ID": self.session}
        if self._entrance.keyed:
            headers["Idempotency-Key"] = uuid4().hex
        return request("/api/chat/send", headers, self._body)


async def everyone(people: Sequence[Person]) -> None:
    """All come, some at a time."""
    for start in range(0, len(people), 50):
        await asyncio.gather(*(person.come() for person in people[start : start + 50]))
