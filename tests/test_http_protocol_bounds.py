"""What a peer cannot make our subclass of uvicorn's HTTP protocol keep: newcomers, headers, requests, dead peers."""

import gc
import socket
from contextlib import ExitStack, suppress

import pytest
from tests.servers import wait_blocking
from tests.waiting_service import Service
from tests.websocket_peers import handshake
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from orchestrator.api.http_protocol import MAX_HEAD_BYTES, MAX_HEADERS, HttpProtocol
from orchestrator.api.pending_connections import PENDING_MAX
from orchestrator.listener import KERNEL_BUFFER

GET = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
NOT_US = "192.0.2.1"
"""As the only trusted proxy, so that connections of the loopback count."""


def answers(client: socket.socket) -> bytes:
    """Everything up to the end of the connection, which a reset is as well."""
    data = b""
    try:
        while piece := client.recv(65_536):
            data += piece
    except (ConnectionResetError, BrokenPipeError):
        pass
    return data


def sends(client: socket.socket, data: bytes) -> bool:
    """Whether the connection still takes it."""
    try:
        client.sendall(data)
    except (ConnectionResetError, BrokenPipeError):
        return False
    return True


def is_let_in(client: socket.socket) -> bool:
    """Whether it gets an answer; a newcomer too many was closed at once, without a word."""
    return sends(client, GET % b"/large?size=0") and client.recv(65_536).startswith(b"HTTP/1.1 200")


def test_newcomers_of_one_address_are_few() -> None:
    """Who has as many connections without a request as one address may have gets no more; a request frees its place."""
    with Service().running(trusted_proxies=NOT_US) as service, ExitStack() as stack:

        def newcomers(count: int) -> list[socket.socket]:
            return [stack.enter_context(service.connect()) for _ in range(count)]

        first = newcomers(PENDING_MAX)
        first[1].sendall(b"GET / HTTP/1.1\r\nHost: half")
        wait_blocking(lambda: service.connections == PENDING_MAX, why="all are let in")
        assert answers(newcomers(1)[0]) == b""

        assert is_let_in(first[0])
        first[2].sendall(handshake())
        assert first[2].recv(12) == b"HTTP/1.1 403"  # there is no WebSocket here
        first[4].close()
        wait_blocking(lambda: service.connections < PENDING_MAX - 1, why="they have gone")
        *others, last = newcomers(4)
        assert answers(last) == b""
        assert all(map(is_let_in, others))


def test_idle_connections_of_one_address_are_few() -> None:
    """Who was answered and asks nothing more may stay, but half of the places are for those who come."""
    with Service().running(trusted_proxies=NOT_US) as service, ExitStack() as stack:

        def newcomers(count: int) -> list[socket.socket]:
            return [stack.enter_context(service.connect()) for _ in range(count)]

        asking = newcomers(PENDING_MAX)
        assert all(map(is_let_in, asking))
        wait_blocking(
            lambda: service.connections == PENDING_MAX // 2, why="half of them are closed when answered"
        )
        assert all(map(is_let_in, newcomers(PENDING_MAX // 2)))
        wait_blocking(lambda: service.connections == PENDING_MAX // 2, why="those who stay are left alone")
        assert answers(newcomers(PENDING_MAX // 2 + 1)[-1]) == b""
        assert sum(map(is_let_in, asking)) == PENDING_MAX // 2, "an idle one may ask again"


def test_idle_connections_give_their_place_back() -> None:
    """However many came, were answered, stayed for a while and left: the next one may stay too."""
    with Service().running(trusted_proxies=NOT_US) as service:
        for _ in range(PENDING_MAX):
            with service.connect() as client:
                assert is_let_in(client)
        with service.connect() as client:
            assert all(is_let_in(client) for _ in range(5))


def test_a_proxy_has_as_many_as_it_likes() -> None:
    """Behind a trusted proxy, loopback by default, everybody has the same address: nobody is counted."""
    with Service().running() as service, ExitStack() as stack:
        clients = [stack.enter_context(service.connect()) for _ in range(PENDING_MAX + 10)]
        wait_blocking(lambda: service.connections == PENDING_MAX + 10, why="all are let in")
        for _ in range(2):
            assert all(map(is_let_in, clients)), "and may stay"


def test_many_headers_are_431() -> None:
    """A hundred headers are enough for anybody; small ones would take sixty times their bytes as objects."""
    with Service().running() as service:
        for count, status in [(MAX_HEADERS, b"200"), (MAX_HEADERS + 1, b"431"), (8_000, b"431")]:
            head = b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"a:\r\n" * (count - 1) + b"\r\n"
            with service.connect(head) as client:
                assert answers(client).split()[1] == status


def test_trailers_are_no_headers() -> None:
    """What follows a body is not added to the headers, where a gateway has removed what is not for clients to say."""
    request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Tenant-ID: t\r\nX-A: b\r\n\r\n"
    with Service().running() as service, service.connect(request * 2, GET % b"/wait") as client:
        for _ in range(2):
            data = b""
            while not data.endswith(b"hi"):
                data += client.recv(1)
            assert data.endswith(b"\r\n\r\ntransfer-encoding hi")


@pytest.mark.parametrize("unit", [b"a: b\r\n", b"b"], ids=["many", "one"])
@pytest.mark.parametrize("path", [b"/", b"/wait"])
def test_trailers_end(unit: bytes, path: bytes) -> None:
    """What follows a body, before the next request, may have as many bytes as a head, whoever waits for it."""
    with Service().running() as service:
        head = b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: " % path
        with service.connect(head) as client:
            wait_blocking(lambda: not sends(client, unit * 10_000), why="the server does not take any more")
        wait_blocking(lambda: not service.connections, why="the connection is closed")


def test_chunks_may_have_extensions() -> None:
    """The bytes around a body are counted from its last byte: many small chunks are no attack."""
    chunks = b"1;size=one\r\nx\r\n" * MAX_HEAD_BYTES
    with Service().running() as service:
        head = b"POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        with service.connect(head, chunks, b"0\r\n\r\n") as client:
            assert answers(client).endswith(b" " + b"x" * MAX_HEAD_BYTES)


def test_requests_wait_as_bytes() -> None:
    """Thousands of requests in one read become objects a few at a time; all are answered, in order."""

    def cycles() -> int:
        # By type: a look at a weak proxy would raise once what it stood for is gone.
        return sum(type(found) is RequestResponseCycle for found in gc.get_objects())

    count = 1_500
    with Service().running() as service:
        with service.connect(GET % b"/endless", (GET % b"/") * count) as client:
            assert client.recv(12) == b"HTTP/1.1 200"
            assert cycles() < 200
        half = b"GET / HTTP/1.1\r\nX-Filler: " + b"x" * 20_000
        with service.connect((GET % b"/large?size=0") * count, half) as client:
            answered = 0
            while answered < count:
                answered += client.recv(65_536).count(b"HTTP/1.1 200 OK")
            client.sendall(b"\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


def test_requests_are_not_read_ahead() -> None:
    """Who sends faster than it is answered is read no faster: what waits fits into the buffers."""
    request = GET % b"/slow"
    with Service().running() as service, service.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        sent = answered = 0
        client.settimeout(0.02)
        while answered < 50:
            with suppress(TimeoutError):
                sent += client.send((request * 5_000)[sent % len(request) :])
            with suppress(TimeoutError):
                answered += client.recv(65_536).count(b"HTTP/1.1 200 OK")
        assert sent < 12 * KERNEL_BUFFER


def test_who_is_being_answered_hears_that_the_peer_left() -> None:
    """Also with another request behind its own: an application that waits for the peer to leave would wait for ever."""
    with Service().running() as service:
        with service.connect(GET % b"/endless", GET % b"/") as client:
            assert client.recv(12) == b"HTTP/1.1 200"
        wait_blocking(lambda: service.heard == ["ended"], why="the application is told")


def test_no_websocket_behind_an_answer() -> None:
    """A handshake while another answer is under way ends the connection, and the application hears of it."""
    with Service().running() as service:
        with service.connect(GET % b"/wait", handshake()) as client:
            assert answers(client) == b""
        wait_blocking(lambda: service.heard == ["asked", "left"], why="the application is told")
        assert not service.connections


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_an_answer_that_is_never_read_is_given_up(monkeypatch: pytest.MonkeyPatch, header: bytes) -> None:
    """Also its last bytes, too few to make an application wait: closing alone would wait for their reader for ever."""
    monkeypatch.setattr(HttpProtocol, "unread_seconds", 0.3)
    with Service().running() as service:
        service.server.config.timeout_keep_alive = 1
        with ExitStack() as stack:
            for size in range(
                KERNEL_BUFFER, 4 * KERNEL_BUFFER, 16_384
            ):  # some leave less than 64 KiB to be sent
                request = b"GET /large?size=%d HTTP/1.1\r\n%b\r\n" % (size, header)
                stack.enter_context(service.connect(request, unread=True))
            wait_blocking(lambda: len(service.heard) == 24, why="all are being answered")
            wait_blocking(lambda: not service.connections, why="all are given up")


def test_nothing_is_kept_of_who_has_left() -> None:
    """However it left: protocols, requests and their clocks are gone with the connection, not when the clocks ring."""

    def kept() -> int:
        gc.collect()
        return sum(isinstance(found, HttpProtocol | RequestResponseCycle) for found in gc.get_objects())

    reset = (1).to_bytes(4, "little") + bytes(4)  # leaves without an orderly end
    with Service().running() as service:
        for sent in (b"", b"GET / H", GET % b"/", GET % b"/wait", (GET % b"/") * 9, b"nonsense\r\n\r\n"):
            for linger in (None, reset):
                client = service.connect(sent)
                if linger:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if sent.startswith(GET % b"/"):
                    client.recv(1)
                client.close()
        wait_blocking(lambda: not service.connections and not kept(), why="nothing is kept")
