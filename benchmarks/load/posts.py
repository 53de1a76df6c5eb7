"""A browser's HTTP connection: one kept-alive socket that sends prepared requests and reads the answers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_AT_ONCE: Final = 32


class Post(asyncio.Protocol):
    """One request at a time; `answered` is told the status and the body of each answer."""

    def __init__(self, answered: Callable[[int, bytes], None]) -> None:
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._read += data
        head = self._read.find(_HEAD_END)
        if head < 0:
            return
        body = head + len(_HEAD_END)
        if len(self._read) >= body + _length(self._read[:head]):
            answer, self._read = self._read, b""
            self._answered(int(answer[9:12]), answer[body:])

    def send(self, request: bytes) -> None:
        """Send the next request; the last one was answered."""
        assert self._transport is not None, "not connected"
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(_LENGTH)
    assert at >= 0, f"an answer without a length: {head!r}"
    return int(lower[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A POST as it goes over the wire."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def post_each(port: int, requests: Sequence[bytes], expected: int) -> list[bytes]:
    """Send them over some connections; the bodies of the answers, in the order of the requests."""
    bodies = [b""] * len(requests)
    waiting = iter(enumerate(requests))

    async def some() -> None:
        answers: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        post = Post(lambda status, body: answers.put_nowait((status, body)))
        await asyncio.get_running_loop().create_connection(lambda: post, "127.0.0.1", port)
        for number, prepared in waiting:
            post.send(prepared)
            status, bodies[number] = await answers.get()
            assert status == expected, (status, bodies[number])
        post.close()

    await asyncio.gather(*(some() for _ in range(min(_AT_ONCE, len(requests)))))
    return bodies
