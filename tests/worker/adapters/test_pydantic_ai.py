"""The adapter for Pydantic AI, with the package and its own models for tests."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelMessage, RunContext, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel

from orchestrator.worker import Task
from orchestrator.worker.adapters.pydantic_ai import pydantic_ai_agent
from orchestrator.worker.testing import run_task


class Place(BaseModel):
    """An output that is no text."""

    city: str


async def speak(messages: list[ModelMessage], _: AgentInfo) -> AsyncGenerator[str, None]:
    """Says two pieces."""
    yield "Hello,"
    yield f" {cast('Any', messages[0]).parts[0].content}"


async def look_up(
    messages: list[ModelMessage], _: AgentInfo
) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
    """Says something, uses a tool and says what it gave."""
    results = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if results:
        yield f"It is {results[0].content}."
        return
    yield "Let me look."
    yield {0: DeltaToolCall(name="weather", json_args='{"city": ', tool_call_id="call-1")}
    yield {0: DeltaToolCall(json_args='"Rome"}')}


async def test_pieces_become_chunks() -> None:
    """Each piece of the model is a chunk."""
    outcome = await run_task(pydantic_ai_agent(Agent(FunctionModel(stream_function=speak))), "Ada")

    assert outcome.chunks == ("Hello,", " Ada")
    assert outcome.response == "Hello, Ada"


async def test_tokens_are_counted() -> None:
    """The ending has what the whole run used, as Pydantic AI counts it."""
    agent = Agent(FunctionModel(stream_function=speak))
    async with agent.run_stream_events("Ada") as events:
        *_, last = [cast("Any", event) async for event in events]
    used = last.result.usage
    outcome = await run_task(pydantic_ai_agent(agent), "Ada")

    assert used.input_tokens
    assert outcome.tokens_used == {
        "input": used.input_tokens,
        "output": used.output_tokens,
        "total": used.total_tokens,
    }


async def test_tools_are_used_and_shown() -> None:
    """Viewers see which tool is used with what; the tool gets the dependencies that `options` name."""
    agent = Agent(FunctionModel(stream_function=look_up), deps_type=str)

    @agent.tool
    async def weather(context: RunContext[str], city: str) -> str:  # pyright: ignore[reportUnusedFunction]
        return f"{context.deps} in {city}"

    handler = pydantic_ai_agent(agent, options=lambda task: {"deps": f"sunny for {task.tenant_id}"})
    outcome = await run_task(handler, "Weather?")

    assert outcome.response == "Let me look.\n\nIt is sunny for tenant-456 in Rome."
    assert outcome.progress == (
        {"kind": "tool_call", "id": "call-1", "name": "weather", "arguments": {"city": "Rome"}},
        {"kind": "tool_result", "id": "call-1", "name": "weather"},
    )


async def test_an_output_that_is_no_text() -> None:
    """A structured output is given as its JSON."""
    model = TestModel(custom_output_args={"city": "Rome"})
    outcome = await run_task(pydantic_ai_agent(Agent(model, output_type=Place)), "Where?")

    assert outcome.response == '{"city":"Rome"}'


async def test_max_iterations() -> None:
    """The request's bound holds for the model: a second question to it is one too many."""
    agent = Agent(FunctionModel(stream_function=look_up))

    @agent.tool_plain
    async def weather(city: str) -> str:  # pyright: ignore[reportUnusedFunction]
        return city

    with pytest.raises(Exception, match="more steps"):
        async for _ in pydantic_ai_agent(agent)(Task(message="Weather?", max_iterations=1)):
            pass


async def test_a_cancellation_reaches_the_model() -> None:
    """A task that is cancelled cancels the model's answer where it waits."""
    said, cancelled = asyncio.Event(), asyncio.Event()

    async def hold(_: list[ModelMessage], __: AgentInfo) -> AsyncGenerator[str, None]:
        yield "Well"
        said.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    handler = pydantic_ai_agent(Agent(FunctionModel(stream_function=hold)))
    running = asyncio.create_task(run_task(handler, "hi"))
    await asyncio.wait_for(said.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(cancelled.wait(), 5)
