"""Bodies of send that are refused, each with what the contract says (contract §3)."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contract.client import Caller, problem
from tests.contract.conftest import BOTH_WAYS
from tests.servers import OrchestratorServer

pytestmark = [*BOTH_WAYS]

KIB_256 = 256 * 1024


async def refused(caller: Caller, redis_client: Any, body: bytes, **headers: str) -> dict[str, Any]:
    """The problem of a body that has to be `invalid_body`; nothing may reach the queue."""
    sent = {"Content-Type": "application/json", **headers}
    document = problem(await caller.post(sent, content=body), 400, "invalid_body")
    assert await redis_client.llen(caller.tenant.queue()) == 0
    assert document["detail"]
    return document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"message=Hello",
        b'{"message": "Hello"',
        b'{"message": "Hello"} x',
        b'{"message": NaN}',
        b'{"message": "Hello", "timeout": Infinity}',
        b"{'message': 'Hello'}",
        b'\xff\xfe{"message": "Hello"}',
        b'{"message": "\xc3\x28"}',
        b'{"message": "a\nb"}',
        b"[]",
        b'["message"]',
        b'"Hello"',
        b"null",
        b"7",
        b"true",
        b"[" * 200 + b"]" * 200,
        b'{"message": "Hello", "metadata": {"a": ' + b"[" * 200 + b"]" * 200 + b"}}",
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
async def test_what_is_no_json_object_is_refused(caller: Caller, redis_client: Any, body: bytes) -> None:
    """Not JSON, JSON that is no object, or nested deeper than 32: 400 `invalid_body`."""
    await refused(caller, redis_client, body)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("message", ""),
        ("message", "x" * 32_001),
        ("message", None),
        ("message", 7),
        ("message", ["Hello"]),
        ("message_type", "image"),
        ("message_type", 1),
        ("user_info", []),
        ("user_info", "Ada"),
        ("metadata", [1]),
        ("metadata", "m"),
        ("stream", "yes"),
        ("stream", 1),
        ("stream", 0),
        ("max_iterations", 0),
        ("max_iterations", -1),
        ("max_iterations", 1.5),
        ("max_iterations", True),
        ("max_iterations", "3"),
        ("timeout", 0),
        ("timeout", -5),
        ("timeout", 3601),
        ("timeout", True),
        ("timeout", "60"),
        ("turn_policy", "whatever"),
        ("turn_policy", 1),
        ("mesage", "a typo"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_bad_member_is_named(caller: Caller, redis_client: Any, member: str, value: Any) -> None:
    """400 `invalid_body` that says where."""
    body = {"message": "Hello", member: value}
    document = await refused(caller, redis_client, json.dumps(body).encode())
    assert member in json.dumps(document)


async def test_a_message_is_required(caller: Caller, redis_client: Any) -> None:
    """An object without `message` says so."""
    assert "message" in (await refused(caller, redis_client, b"{}"))["detail"]


async def test_the_longest_timeout_passes(caller: Caller) -> None:
    """`ORCHESTRATOR_TASK_TIMEOUT_MAX` itself may be asked for."""
    await caller.accepted(timeout=3600)


def _padded(size: int) -> bytes:
    start, end = b'{"message": "Hello", "metadata": {"a": "', b'"}}'
    return start + b"x" * (size - len(start) - len(end)) + end


async def test_the_largest_body_passes(caller: Caller) -> None:
    """256 KiB is the limit, and the limit itself is allowed."""
    answer = await caller.post({"Content-Type": "application/json"}, content=_padded(KIB_256))
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("size", [KIB_256 + 1, 10_000_000])
async def test_a_larger_body_is_refused(caller: Caller, size: int) -> None:
    """413 `payload_too_large`, also for 10 MB."""
    answer = await caller.post({"Content-Type": "application/json"}, content=_padded(size))
    problem(answer, 413, "payload_too_large")


async def test_a_larger_body_in_pieces_is_refused(caller: Caller) -> None:
    """A body that does not tell its length is held to the same limit."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, 1_000_000, 10_000):
            yield _padded(1_000_000)[start : start + 10_000]

    answer = await caller.post({"Content-Type": "application/json"}, content=pieces())
    problem(answer, 413, "payload_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_another_content_type_is_refused(caller: Caller, kind: str) -> None:
    """415 `unsupported_media_type` for what does not claim to be JSON."""
    answer = await caller.post({"Content-Type": kind}, content=b'{"message": "Hello"}')
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_json_however_it_is_spelled(caller: Caller, kind: str) -> None:
    """Parameters and capitals of a media type change nothing."""
    answer = await caller.post({"Content-Type": kind}, content=b'{"message": "Hello"}')
    assert answer.status_code == 202, answer.text


async def test_an_encoded_body_is_refused(caller: Caller) -> None:
    """415 also for any `Content-Encoding`."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await caller.post(headers, content=gzip.compress(b'{"message": "Hello"}'))
    problem(answer, 415, "unsupported_media_type")


async def test_a_refused_body_does_not_break_the_connection_for_the_next(caller: Caller) -> None:
    """After a refusal the same client goes on."""
    problem(await caller.send(""), 400, "invalid_body")
    await caller.accepted()


async def test_a_body_that_comes_after_its_refusal(service: OrchestratorServer) -> None:
    """Refused by its headers while the body is on its way, a request leaves the connection good for the next one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"POST /api/chat/send HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nContent-Length: 2\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    writer.write(b"{}")
    answers = [await reader.readuntil(b"\r\n\r\n")]
    length = int(answers[0].lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    writer.write(f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n\r\n".encode())
    answers.append(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5))
    writer.close()
    assert [answer.split(b" ")[1] for answer in answers] == [b"400", b"200"]


async def test_a_body_that_does_not_come(service: OrchestratorServer) -> None:
    """Refused by its headers, a request whose body stays away is answered, and told that the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"POST /api/chat/send HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nContent-Length: 2\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.split(b" ")[1] == b"400"
    assert b"\r\nconnection: close\r\n" in answer.lower()
