"""Requests that come whole, to a path that is answered directly: everything else goes the way of every other."""

import asyncio
import gc
import socket
from collections.abc import Generator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.in_process import serving_app
from tests.servers import wait_blocking
from tests.test_http_protocol import answer

from orchestrator.api import whole_requests
from orchestrator.api.bodies import WHOLE_BODY
from orchestrator.api.endpoints import KnownRequest
from orchestrator.api.http_protocol import HttpProtocol


class Service:
    """A server that says by which way a request came."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.port = 0
        self.server: uvicorn.Server

    async def directly(self, request: KnownRequest) -> PlainTextResponse:
        """Answers what comes whole; a body of `wait` after a while, `endless` never, `large` with 10 MB."""
        body: bytes = request.scope[WHOLE_BODY]
        self.heard.append(body.decode())
        if body == b"wait":
            await asyncio.sleep(0.3)
        if body == b"endless":
            await asyncio.Event().wait()
        self.heard.append("answered")
        filler = "x" * 10_000_000 if body == b"large" else ""
        return PlainTextResponse(f"directly {request.scope['path']} {body.decode()}{filler}")

    async def by_asgi(self, request: Request) -> PlainTextResponse:
        """Answers what does not."""
        self.heard.append("by ASGI")
        return PlainTextResponse(f"by ASGI {request.url.path} {(await request.body()).decode()}")

    @property
    def writes_paused(self) -> bool:
        """Whether one of its connections waits until its peer reads."""
        open_ = [c for c in self.server.server_state.connections if isinstance(c, HttpProtocol)]
        return any(connection.flow.write_paused for connection in open_)

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture
def service() -> Generator[Service]:
    """It runs."""
    service = Service()
    app = Starlette(routes=[Route("/send", service.by_asgi, methods=["POST", "GET", "HEAD"])])
    with serving_app(app, {b"/send": service.directly}) as (service.port, service.server):
        yield service


@pytest.fixture
def client(service: Service) -> Generator[socket.socket]:
    """A connection."""
    with service.connect() as client:
        yield client


def post(body: str, *headers: str, line: str = "POST /send HTTP/1.1") -> bytes:
    """A request in one piece."""
    lines = (line, "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def test_what_comes_whole_is_answered_directly(client: socket.socket) -> None:
    """One after the other on one connection, with a body and without."""
    for body in ("one", "two", ""):
        client.sendall(post(body))
        assert answer(client) == (200, f"directly /send {body}")


@pytest.mark.parametrize(
    "request_",
    [
        post("hello", "Expect: 100-continue-please"),
        post("hello", "Connection: Upgrade", "Upgrade: h2c"),
        post("hello", line="POST /send? HTTP/1.1"),
        post("hello", line="POST /s%65nd HTTP/1.1"),
        post("hello", line="GET /send HTTP/1.1"),
        post("hello", "Connection: close"),
        post("hello", line="POST /send HTTP/1.0"),
        b"POST /send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_what_is_unusual_is_not(client: socket.socket, request_: bytes) -> None:
    """Whatever somebody has to look at on the way goes that way."""
    client.sendall(request_)
    status, text = answer(client)
    assert (status, text.split(" /send")[0]) == (200, "by ASGI")


def send_in_two(service: Service, client: socket.socket, body: str) -> None:
    """A request whose last byte comes when the rest has been parsed."""
    client.sendall(post(body)[:-1])
    with service.connect() as other:  # by the time of its answer it has
        other.sendall(post(""))
        answer(other)
    client.sendall(body[-1:].encode())


def test_a_small_body_behind_its_head_is_waited_for(
    service: Service, client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients write the head and the body one after the other."""
    monkeypatch.setattr(whole_requests, "REST_SECONDS", 30)
    for body in ("hello", "again"):
        send_in_two(service, client, body)
        assert answer(client) == (200, f"directly /send {body}")


@pytest.mark.parametrize(("body", "seconds"), [("hello", 0), ("h" * 100_000, 30)])
def test_what_is_slow_or_large_is_not(
    service: Service, client: socket.socket, monkeypatch: pytest.MonkeyPatch, body: str, seconds: float
) -> None:
    """What was not all there after a moment begins then, and so does a large one; whole ones may follow."""
    monkeypatch.setattr(whole_requests, "REST_SECONDS", seconds)
    send_in_two(service, client, body)
    assert answer(client) == (200, f"by ASGI /send {body}")
    client.sendall(post("next"))
    assert answer(client) == (200, "directly /send next")


def test_who_leaves_before_the_rest_has_come_leaves_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of half a request reaches anybody, and others are served."""
    monkeypatch.setattr(whole_requests, "REST_SECONDS", 0.2)
    with service.connect() as client:
        client.sendall(post("hello")[:-1])
    with service.connect() as other:
        other.sendall(post("wait"))  # longer than the other would have been waited for
        assert answer(other) == (200, "directly /send wait")
    assert service.heard == ["wait", "answered"]


def test_pipelined_requests_are_answered_in_order(client: socket.socket) -> None:
    """Who comes behind one that is being answered waits for it."""
    client.sendall(post("wait") + post("two") + post("three"))
    assert [answer(client)[1].split()[-1] for _ in range(3)] == ["wait", "two", "three"]
    client.sendall(post("four"))
    assert answer(client) == (200, "directly /send four")


def test_who_leaves_gets_no_answer_and_stops_nothing(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that was taken is carried through, though its sender has gone."""
    with service.connect() as client:
        client.sendall(post("wait"))
        wait_blocking(lambda: service.heard == ["wait"])
    wait_blocking(lambda: service.heard == ["wait", "answered"])
    wait_blocking(lambda: not service.server.server_state.tasks)
    gc.collect()
    assert not caplog.records  # as there would be of a task that failed


def test_who_leaves_an_answer_unread_waits_for_the_next(service: Service) -> None:
    """ASGI's channel stops until there is room; a direct answer would be kept beside the one that is not read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        client.settimeout(30)
        client.connect(("127.0.0.1", service.port))
        client.sendall(post("large"))
        wait_blocking(lambda: service.writes_paused)
        client.sendall(post("next"))
        wait_blocking(lambda: service.heard == ["large", "answered", "by ASGI"])


def test_the_next_head_has_its_time(client: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of a connection hold after a direct answer too."""
    monkeypatch.setattr(HttpProtocol, "head_seconds", 0.3)
    client.sendall(post("one"))
    assert answer(client)[0] == 200
    client.sendall(b"POST /send HTTP/1.1\r\nHost: 127")
    assert answer(client)[0] == 408
    assert client.recv(1) == b""


def test_an_answer_while_the_server_stops_says_that_the_connection_ends() -> None:
    """What is being answered is answered, `Connection: close` and all."""
    service = Service()
    with (
        serving_app(Starlette(), {b"/send": service.directly}) as (service.port, server),
        service.connect() as client,
    ):
        client.sendall(post("wait"))
        wait_blocking(lambda: service.heard == ["wait"])
        server.should_exit = True
        told = b"".join(iter(lambda: client.recv(4096), b""))
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in told
    assert told.endswith(b"directly /send wait")


def test_a_server_in_a_hurry_closes() -> None:
    """A request that it gives up gets no answer, and keeps nobody waiting."""
    service = Service()
    with (
        serving_app(Starlette(), {b"/send": service.directly}) as (service.port, server),
        service.connect() as client,
    ):
        server.config.timeout_graceful_shutdown = 1
        client.sendall(post("endless"))
        wait_blocking(lambda: service.heard == ["endless"])
        server.should_exit = True
        assert client.recv(1) == b""
