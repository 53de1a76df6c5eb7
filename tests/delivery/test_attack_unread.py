"""Peers that never read: they go, they take no memory without end, and nobody else waits for them."""

import socket
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from tests.in_process import serving_app
from tests.servers import wait_blocking

from orchestrator.api.http_protocol import HttpProtocol
from orchestrator.protocol.subscriber import SAID_BYTES_MAX, Subscriber


@contextmanager
def stream() -> Generator[tuple[int, list[str]]]:
    """A server whose answer has no end; its port, and what became of the answers."""
    ended: list[str] = []

    async def endless(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while not await request.is_disconnected():
                    yield b"x" * 65_536
            finally:
                ended.append("ended")

        return StreamingResponse(pieces())

    with serving_app(Starlette(routes=[Route("/", endless)])) as (port, _):
        yield port, ended


def test_answer_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that takes nothing of its answer for a while is cut off; one that reads on is not."""
    monkeypatch.setattr(HttpProtocol, "unread_seconds", 0.5)
    with stream() as (port, ended):
        reading, deaf = (socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(2))
        with reading, deaf:
            for client in (reading, deaf):
                client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            wait_blocking(lambda: reading.recv(65_536) and len(ended) == 1)
            assert reading.recv(65_536)
            assert len(ended) == 1


def test_answers_that_nobody_reads() -> None:
    """Answers to a client's own frames are not in the log: they are bounded, and a reader has its events."""
    reader = Subscriber()
    frame = b"x" * 1_000
    said = 0
    while reader.say(frame):
        said += 1
        assert said <= SAID_BYTES_MAX
    assert said * len(frame) <= SAID_BYTES_MAX + len(frame)
    reader.next_frames(1)
    assert reader.say(frame)
