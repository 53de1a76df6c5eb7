"""The demo agents, and the one among them that talks to a language model."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.servers import free_port, wait_until
from tests.worker.service import Service, running

from orchestrator.demo.agents import worker as demo
from orchestrator.demo.llm import stream_chat
from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker, TaskError
from orchestrator.worker.testing import run_task


@pytest.fixture
async def agents(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AgentWorker]:
    """The demo worker at work."""
    monkeypatch.setenv("REDIS_URL", valkey.url)
    async with running(demo) as worker:
        yield worker


async def test_echo_streams_word_by_word(agents: AgentWorker, service: Service) -> None:
    """`agent-123` says what it was told, in as many chunks as words, with its spaces and lines."""
    await service.send("two words\n and more")
    _, *chunks, ending = await service.until_end()

    assert ending["result"]["response"] == "You said: two words\n and more"
    assert [chunk["result"]["delta"].strip() for chunk in chunks] == [
        "You",
        "said:",
        "two",
        "words",
        "and",
        "more",
    ]


async def test_agent_fail_fails(agents: AgentWorker, service: Service) -> None:
    """`agent-fail` shows what a failure after some text looks like."""
    await service.send(context="agent-fail")
    callbacks = await service.until_end()

    assert [callback["status"] for callback in callbacks] == ["running", "streaming", "streaming", "failed"]
    assert callbacks[-1]["result"]["error"]["code"] == "demo_failure"


async def test_agent_ask_asks_twice() -> None:
    """`agent-ask` goes on with what its user wants, and with nothing where nobody says anything."""
    order = {"cups": 2, "name": "Ada"}
    told = await run_task(demo, "a drink", agent="agent-ask", answers=["tea", order])
    assert told.response == "2 × tea for Ada, coming up."
    silence = await run_task(demo, "a drink", agent="agent-ask", answers=["tea"])
    assert silence.response == "Nobody told me, so I bring nothing."


async def test_agent_slow_can_be_cancelled(agents: AgentWorker, service: Service) -> None:
    """`agent-slow` leaves time to cancel it."""
    task_id = await service.send(context="agent-slow")
    assert [(await service.callback())["status"] for _ in range(2)] == ["running", "streaming"]
    await service.cancel(task_id)
    await agents.stop()

    assert "completed" not in {callback["status"] for callback in await _rest(service)}


async def test_agent_llm_without_settings(
    agents: AgentWorker, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever tries `agent-llm` unprepared reads what has to be set."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    await service.send(context="agent-llm")
    error = (await service.ending())["result"]["error"]

    assert error["code"] == "llm_not_configured"
    assert all(name in error["message"] for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"))


async def test_agent_llm_without_the_package(
    agents: AgentWorker, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`openai` is an extra; who has not installed it reads how to."""
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delitem(sys.modules, "orchestrator.demo.llm")
    await service.send(context="agent-llm")
    error = (await service.ending())["result"]["error"]

    assert error["code"] == "llm_not_configured"
    assert "pip install 'orchestrator[openai]'" in error["message"]


async def test_agent_llm_streams(
    agents: AgentWorker, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's first piece is a chunk, the others follow; message, model and key reach the server."""
    asked: list[dict[str, Any]] = []

    async def complete(request: Request) -> Response:
        asked.append({**await request.json(), "key": request.headers["authorization"]})
        return StreamingResponse(_pieces("The", " answer", "", " is 42."), media_type="text/event-stream")

    async with model_server(complete, monkeypatch):
        await service.send("What is it?", context="agent-llm")
        _, *chunks, ending = await service.until_end()

    assert chunks[0]["result"]["delta"] == "The"
    assert "".join(chunk["result"]["delta"] for chunk in chunks) == "The answer is 42."
    assert ending["result"]["response"] == "The answer is 42."
    assert asked[0]["messages"] == [{"role": "user", "content": "What is it?"}]
    assert (asked[0]["model"], asked[0]["stream"], asked[0]["key"]) == ("tiny", True, "Bearer secret-key")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "llm_unauthorized"),
        (403, "llm_unauthorized"),
        (404, "llm_refused"),
        (429, "llm_rate_limited"),
        (500, "llm_refused"),
    ],
)
async def test_refusals_are_explained(monkeypatch: pytest.MonkeyPatch, status: int, code: str) -> None:
    """Each answer of the server that is none becomes a TaskError that does not quote it."""

    async def complete(_: Request) -> Response:
        return JSONResponse({"error": {"message": "bad secret-key"}}, status, {"retry-after-ms": "1"})

    async with model_server(complete, monkeypatch):
        error = await _failure()

    assert error.code == code
    assert "secret-key" not in error.message


async def test_a_silent_model_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers is given up."""

    async def complete(request: Request) -> Response:
        await request.body()
        await request.receive()  # nothing more comes but the end of the connection
        return Response()

    async with model_server(complete, monkeypatch):
        assert (await _failure(patience=0.1)).code == "llm_timeout"


async def test_a_stream_that_fails_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error event inside the stream fails the task."""

    async def complete(_: Request) -> Response:
        async def body() -> AsyncGenerator[str, None]:
            async for piece in _pieces("Well"):
                yield piece
                break
            yield 'data: {"error": {"message": "overloaded"}}\n\n'

        return StreamingResponse(body(), media_type="text/event-stream")

    async with model_server(complete, monkeypatch):
        assert (await _failure()).code == "llm_failed"


async def test_an_unreachable_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there."""
    _set_up(monkeypatch, free_port())

    assert (await _failure()).code == "llm_unreachable"


@asynccontextmanager
async def model_server(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    """A server that speaks the chat completions protocol as `endpoint` does."""
    app = Starlette(routes=[Route("/v1/chat/completions", endpoint, methods=["POST"])])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    _set_up(monkeypatch, port)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _set_up(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    monkeypatch.setenv("OPENAI_MODEL", "tiny")


async def _failure(patience: float = 5) -> TaskError:
    with pytest.raises(TaskError) as caught:
        async for _ in stream_chat("hi", patience):
            pass
    return caught.value


async def _pieces(*texts: str) -> AsyncGenerator[str, None]:
    def event(delta: dict[str, str], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "tiny",
            "choices": [choice],
        }
        return f"data: {json.dumps(chunk)}\n\n"

    yield event({"role": "assistant"})
    for text in texts:
        yield event({"content": text})
    yield event({}, "stop")
    yield "data: [DONE]\n\n"


async def _rest(service: Service) -> list[dict[str, Any]]:
    found = await service.redis.lrange("orchestrator:tenant-456:callbacks", 0, -1)
    return [json.loads(callback) for callback in found]
