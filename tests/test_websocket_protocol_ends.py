"""How a WebSocket ends: close codes, reasons, torn connections, refusals (contract §4)."""

import asyncio
import logging
import socket
from typing import Any

import pytest
from tests.in_process import serving_app
from tests.servers import wait_blocking
from tests.websocket_peers import TARGET, TEXT, RawPeer, Seen, closed_with, frame, handshake, reader, serving
from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.client import connect


def test_a_torn_connection_is_1006() -> None:
    """A connection that ends without a close frame is 1006, not a clean end."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, _):
        RawPeer(port).shake_hands().socket.close()
        wait_blocking(lambda: seen.disconnect_codes == [1006], why="the application is told")


async def test_a_close_reason_arrives() -> None:
    """Close frame and reason are flushed, also right after a large frame and while the client sends."""

    async def session(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.send", "text": "x" * 1_000_000})
        await send({"type": "websocket.close", "code": 1013, "reason": '{"retry_after_ms":700}'})

    async def action(client: Any) -> None:
        for _ in range(50):
            await client.send("hello")

    with serving(session) as (port, _):
        assert await closed_with(port, action) == (1013, '{"retry_after_ms":700}')


async def test_sending_after_the_close_is_a_disconnect() -> None:
    """A second sender that comes too late gets the error of a lost client, not one of misuse."""
    seen = Seen()

    async def session(_: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 1000})
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})
        seen.finished.set()

    with serving(session) as (port, _):
        async with connect(f"ws://127.0.0.1:{port}/ws/s"):
            assert await asyncio.to_thread(seen.finished.wait, 5)


async def test_a_failing_application_is_1011(caplog: pytest.LogCaptureFixture) -> None:
    """An application that raises is a close with 1011, not a torn connection."""

    async def session(_: Any, __: Any) -> None:
        raise RuntimeError("broken")

    async def nothing(_: Any) -> None: ...

    with serving(session) as (port, _):
        assert (await closed_with(port, nothing))[0] == 1011
    assert "broken" in caplog.text


async def test_shutdown_says_when_to_come_back() -> None:
    """Sockets that the drain left over are closed with 1012 and a `retry_after_ms`."""
    seen = Seen()
    with serving(lambda receive, _: reader(seen, receive)) as (port, server):

        async def action(_: Any) -> None:
            server.should_exit = True

        code, reason = await closed_with(port, action)
    assert code == 1012
    assert reason.startswith('{"retry_after_ms":')
    assert seen.disconnect_codes[0] == 1012


async def _starts(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()


def test_bad_frames_before_the_answer() -> None:
    """Whoever does not wait for the handshake's answer and sends nonsense is cut off: nobody could tell it why yet."""
    seen = Seen()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _starts(receive, send)
        else:
            seen.received.append(await receive())
            await reader(seen, receive)

    with serving_app(app) as (port, _), RawPeer(port) as peer:
        wait_blocking(lambda: bool(seen.received), why="the handshake has come")
        peer.socket.sendall(frame(TEXT | 0x70, b"reserved bits"))
        assert peer.ended()
        wait_blocking(lambda: bool(seen.disconnect_codes), why="the application is told")


def test_an_application_may_refuse() -> None:
    """A close in place of the answer is a 403."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _starts(receive, send)
        else:
            await send({"type": "websocket.close"})

    with serving_app(app) as (port, _), RawPeer(port) as peer:
        assert peer.socket.recv(12) == b"HTTP/1.1 403"
        wait_blocking(peer.ended, why="the connection ends")


def test_too_many_headers_are_refused() -> None:
    """A handshake with more headers than the parser takes is answered, not left waiting."""
    headers = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    with (
        serving(lambda receive, _: reader(Seen(), receive)) as (port, _),
        RawPeer(port, handshake(TARGET, headers)) as peer,
    ):
        assert peer.socket.recv(12) == b"HTTP/1.1 431"
        wait_blocking(peer.ended, why="the connection ends")


async def test_no_query_string_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Even at DEBUG neither the query string nor what is said on the socket reaches the log."""
    caplog.set_level(logging.DEBUG)

    async def session(_: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": "hush-hush"})
        raise RuntimeError("broken")

    with serving(session) as (port, _), RawPeer(port) as peer:
        peer.shake_hands().socket.sendall(frame(TEXT, b"hush-hush\xff"))
        peer.read_close()
        wait_blocking(peer.ended, why="the connection ends")
        with socket.create_connection(("127.0.0.1", port)) as other:
            other.sendall(b"GET /?ticket=hush-hush HTTP/1.1\r\nnonsense hush-hush\r\n\r\n")
            wait_blocking(lambda: other.recv(1000) == b"", why="answered and closed")

    assert "hush-hush" not in caplog.text
    assert logging.getLogger("uvicorn.error.websocket").isEnabledFor(logging.ERROR)
