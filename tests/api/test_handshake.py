"""Which handshakes are answered from HTTP's parser, and how."""

from http import HTTPStatus
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from orchestrator.api.handshake import answer_to, upgrade_in

Header = tuple[bytes, bytes]
PLAIN: Final[dict[bytes, bytes]] = {
    b"host": b"127.0.0.1",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
}
VALUES: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"upgrade": (b"websocket", b"WebSocket", b"websocket, h2c", b"h2c", b""),
    b"connection": (b"Upgrade", b"keep-alive, Upgrade", b"Upgrade, @", b"close", b""),
    b"sec-websocket-version": (b"13", b"8", b"13, 8", b""),
    b"sec-websocket-key": (PLAIN[b"sec-websocket-key"], b"AAAA", b"dGhlIHNhbXBsZSBub25jZ===", b""),
    b"origin": (b"https://a.example", b"null"),
    b"sec-websocket-protocol": (b"chat", b"chat,,@"),
    b"sec-websocket-extensions": (b"permessage-deflate; client_max_window_bits", b"@"),
}  # fmt: skip
any_header = st.sampled_from(list(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(VALUES[name]))
)


def scope(headers: list[Header], **more: Any) -> dict[str, Any]:
    """What HTTP's parser found."""
    return {"method": "GET", "http_version": "1.1", "headers": headers, **more}


def library_answers(headers: list[Header]) -> tuple[int, str | None]:
    """Status and `Sec-WebSocket-Accept` of the library."""
    told = Headers((name.decode(), value.decode()) for name, value in headers)
    answer = ServerProtocol(extensions=[]).accept(Request("/ws/s", told))
    return answer.status_code, answer.headers.get("Sec-WebSocket-Accept")


def test_plain_handshake() -> None:
    """The answer to the example of RFC 6455 §1.3."""
    answer = answer_to(scope(list(PLAIN.items())), b"/ws/s?tenant_id=acme")
    assert answer is not None
    lines = answer.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert lines[1:-2] == [
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ]
    assert lines[-2:] == [b"", b""]


@given(st.lists(any_header, max_size=3), st.sets(st.sampled_from(list(PLAIN)), max_size=1))
def test_library_would_accept_it_as_well(changes: list[Header], left_out: set[bytes]) -> None:
    """What is accepted here the library would accept in the same words, whatever the headers are."""
    headers = [item for item in PLAIN.items() if item[0] not in left_out | {name for name, _ in changes[:2]}]
    headers += changes
    answer = answer_to(scope(headers), b"/ws/s")
    if answer is not None:
        status, accept = library_answers(headers)
        assert status == HTTPStatus.SWITCHING_PROTOCOLS
        assert accept is not None
        assert accept.encode() in answer


@pytest.mark.parametrize(
    ("changed", "target"),
    [
        ({"method": "POST"}, b"/ws/s"),
        ({"http_version": "1.0"}, b"/ws/s"),
        ({}, b"/ws/\xff"),
        ({}, b"/ws/" + b"s" * 8_000),
        ({"headers": [*PLAIN.items(), (b"content-length", b"1")]}, b"/ws/s"),
        ({"headers": [*PLAIN.items(), (b"transfer-encoding", b"chunked")]}, b"/ws/s"),
        ({"headers": [*PLAIN.items(), (b"cookie", b"c" * 8_000)]}, b"/ws/s"),
        ({"headers": [*PLAIN.items(), (b"c" * 101, b"")]}, b"/ws/s"),
    ],
)
def test_what_is_left_to_the_library(changed: dict[str, Any], target: bytes) -> None:
    """A head that the library may find too long, or no handshake at all."""
    assert answer_to(scope(list(PLAIN.items())) | changed, target) is None


def test_upgrade_that_is_asked_for() -> None:
    """Only where `Connection` names it; in whatever case."""
    assert upgrade_in([(b"connection", b"Keep-Alive , UPGRADE"), (b"upgrade", b"WebSocket")]) == b"websocket"
    assert upgrade_in([(b"connection", b"keep-alive"), (b"upgrade", b"websocket")]) is None
    assert upgrade_in([(b"upgrade", b"websocket")]) is None
