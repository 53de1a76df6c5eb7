"""What every refusal has in common, and the rows that belong to no single route (contract §3, Errors)."""

import asyncio
import time

import pytest
from tests.contract.client import Caller, problem
from tests.servers import OrchestratorServer

ROUTES = [
    ("POST", "/api/chat/send"),
    ("GET", "/api/chat/tasks/task-x"),
    ("POST", "/api/chat/tasks/task-x/cancel"),
    ("GET", "/api/chat/sessions/s"),
    ("GET", "/api/chat/sessions/s/events"),
    ("GET", "/api/chat/stats"),
    ("GET", "/health"),
    ("GET", "/api/chat/health"),
    ("GET", "/ws/health"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/ws/stats"),
    ("GET", "/metrics/overview"),
    ("GET", "/metrics/queues"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/asyncapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
]


@pytest.mark.parametrize("path", ["/nothing", "/api/chat", "/api/chat/send/", "/ws", "/metrics/x"])
async def test_an_unknown_path(caller: Caller, path: str) -> None:
    """404 `not_found`, as a problem document."""
    problem(await caller.get(path), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[path for _, path in ROUTES])
async def test_a_method_that_a_route_does_not_have(caller: Caller, method: str, path: str) -> None:
    """405 `method_not_allowed` with `Allow`; so the route itself exists."""
    answer = await caller.http.request("DELETE", path, headers=caller.headers)
    problem(answer, 405, "method_not_allowed")
    assert method in answer.headers["allow"]


async def test_headers_too_large(caller: Caller) -> None:
    """431 `headers_too_large` where the headers alone are a megabyte."""
    answer = await caller.http.get("/health", headers={"X-Filler": "x" * 1_000_000})
    problem(answer, 431, "headers_too_large")


async def test_a_body_that_does_not_come(service: OrchestratorServer, caller: Caller) -> None:
    """408 `request_timeout`; the answer comes within 5 s."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in caller.headers.items())
    head = f"POST /api/chat/send HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n{headers}"
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(f'{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"mess'.encode())
    began = time.monotonic()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer.lower()
    assert b'"request_timeout"' in answer
    assert time.monotonic() - began < 6


async def test_a_problem_carries_no_internals(caller: Caller) -> None:
    """`detail` is a sentence for the caller: no path of ours, no traceback, no key of Redis."""
    for answer in (await caller.send(""), await caller.get("/nothing"), await caller.send(timeout="x")):
        text = answer.text
        for internal in ("Traceback", ".py", "msgspec", "{orchestrator", "site-packages"):
            assert internal not in text


async def test_head_is_answered_like_get(caller: Caller) -> None:
    """A probe may ask by HEAD."""
    answer = await caller.http.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
