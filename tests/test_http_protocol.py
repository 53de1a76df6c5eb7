"""What our subclass of uvicorn's HTTP protocol bounds: the size of a head, and its time."""

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from tests.in_process import serving_app
from tests.websocket_peers import handshake

from orchestrator.api.http_protocol import MAX_HEAD_BYTES, HttpProtocol


async def echo(request: Request) -> PlainTextResponse:
    """Answers with the body and the size of the headers."""
    size = sum(len(name) + len(value) + 4 for name, value in request.headers.raw)
    return PlainTextResponse(f"{size} {(await request.body()).decode()}")


async def impatient(_: Request) -> PlainTextResponse:
    """Answers before the body is there."""
    return PlainTextResponse("not interested", 413)


async def welcoming(socket: WebSocket) -> None:
    """Lets everybody in."""
    await socket.accept()


@contextmanager
def connection() -> Generator[socket.socket]:
    """A raw connection to a server with these routes."""
    app = Starlette(
        routes=[
            Route("/", echo, methods=["GET", "POST"]),
            Route("/no", impatient, methods=["POST"]),
            WebSocketRoute("/ws", welcoming),
        ]
    )
    with serving_app(app) as (port, _), socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def answer(client: socket.socket) -> tuple[int, str]:
    """Status and body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (piece := client.recv(1))
        assert piece, f"ended after {data!r}"
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
    while len(body) < length:
        body += client.recv(length - len(body))
    return int(head.split()[1]), body.decode()


def request(filler: int = 0, method: str = "GET", path: str = "/", length: int = 0) -> bytes:
    """A head with `filler` bytes of header."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n"
    return f"{head}X-Filler: {'x' * filler}\r\n\r\n".encode()


def problem_of(client: socket.socket) -> tuple[int, str]:
    """Status and code of a refusal, which ends the connection in order."""
    status, body = answer(client)
    assert client.recv(1) == b""
    return status, json.loads(body)["code"]


@pytest.mark.parametrize("filler", [MAX_HEAD_BYTES, 5_000_000])
def test_a_large_head_is_431(filler: int) -> None:
    """The refusal arrives, although the client is still sending."""
    with connection() as client:
        client.sendall(request(filler))
        assert problem_of(client) == (431, "headers_too_large")


def test_endless_headers_are_431() -> None:
    """Small headers without end are refused as one large one is."""
    with connection() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + b"X-More: 1\r\n" * 10_000)
        assert problem_of(client) == (431, "headers_too_large")


def test_heads_are_counted_one_by_one() -> None:
    """Many requests on one connection may together have more, and a body is no head."""
    with connection() as client:
        for _ in range(5):
            client.sendall(request(MAX_HEAD_BYTES - 200))
            assert answer(client)[0] == 200
        body = b"b" * 3 * MAX_HEAD_BYTES
        client.sendall(request(10, "POST", length=len(body)) + body)
        status, text = answer(client)
        assert (status, text.split()[1]) == (200, body.decode())
        client.sendall(request(1) + request(2) + request(3))  # at once
        assert [answer(client)[0] for _ in range(3)] == [200, 200, 200]


def test_each_request_says_for_itself_whether_it_goes_over_to_a_websocket() -> None:
    """On one connection: one asks for nothing, two for another protocol, then a handshake comes."""
    with connection() as client:
        client.sendall(request())
        assert answer(client)[0] == 200
        other = request().replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        client.sendall(other)
        assert answer(client)[0] == 200
        client.sendall(other[:60])
        client.sendall(other[60:])
        assert answer(client)[0] == 200
        client.sendall(handshake("/ws"))
        assert client.recv(12) == b"HTTP/1.1 101"


def test_a_slow_head_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not end is given up, on the first request as on a later one."""
    monkeypatch.setattr(HttpProtocol, "head_seconds", 0.3)
    with connection() as client:
        client.sendall(request())
        assert answer(client)[0] == 200
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        assert problem_of(client) == (408, "request_timeout")


def test_a_connection_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a single byte there is nothing to answer."""
    monkeypatch.setattr(HttpProtocol, "head_seconds", 0.3)
    with connection() as client:
        assert client.recv(1) == b""


def test_an_answer_before_the_body_ends_the_connection() -> None:
    """Who is refused while sending reads why, and the rest of the body is no second request."""
    with connection() as client:
        client.sendall(request(0, "POST", "/no", length=4_000_000) + b"GET / HTTP/1.1\r\n\r\n" * 100_000)
        assert answer(client) == (413, "not interested")
        assert client.recv(1) == b""


def test_a_request_behind_another_keeps_its_connection() -> None:
    """A pipelined request whose body is still on its way is answered when it has come."""
    with connection() as client:
        client.sendall(request() + request(0, "POST", length=5))
        assert answer(client)[0] == 200
        client.sendall(b"hello")
        status, text = answer(client)
        assert (status, text.split()[1]) == (200, "hello")
