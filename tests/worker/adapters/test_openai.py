"""The adapter for OpenAI-compatible endpoints, with OpenAI's client and a real server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from tests.servers import wait_until
from tests.worker.adapters.model_server import ModelServer, Reply

from orchestrator.worker import Task
from orchestrator.worker.adapters.openai import openai_agent
from orchestrator.worker.testing import run_task


class Weather(BaseModel):
    """The weather of a city."""

    city: str


async def forecast(query: Weather) -> str:
    """As it always is."""
    return f"sunny in {query.city}"


@asynccontextmanager
async def model(*replies: Reply) -> AsyncGenerator[tuple[AsyncOpenAI, ModelServer]]:
    """A client and the server that it talks to."""
    async with (
        ModelServer(*replies).running() as server,
        AsyncOpenAI(base_url=server.url, api_key="secret-key", max_retries=0) as client,
    ):
        yield client, server


async def test_pieces_become_chunks() -> None:
    """Each piece of the model is a chunk, and instructions go before the message."""
    async with model(["The", " answer", " is 42."]) as (client, server):
        outcome = await run_task(openai_agent(client, "tiny", instructions="Be brief."), "What is it?")

    assert outcome.chunks == ("The", " answer", " is 42.")
    assert outcome.response == "The answer is 42."
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?"},
    ]
    assert (server.requests[0]["model"], "tools" in server.requests[0]) == ("tiny", False)


async def test_tokens_of_all_requests_are_counted() -> None:
    """The ending has the sum of what each request used; an endpoint that does not count is not asked."""
    replies: tuple[Reply, ...] = ({"Weather": {"city": "Rome"}}, ["It is sunny."], ["So be it."])
    async with model(*replies) as (client, server):
        outcome = await run_task(openai_agent(client, "tiny", tools={Weather: forecast}), "Weather?")
        silent = await run_task(openai_agent(client, "tiny", usage=False), "Be it so")

    assert outcome.tokens_used == {"input": 10, "output": 4, "total": 14}
    assert silent.tokens_used is None
    assert ["stream_options" in request for request in server.requests] == [True, True, False]


async def test_a_refusal_is_an_answer() -> None:
    """What a model says when it will not answer is what viewers read."""
    async with model("I will not.") as (client, _):
        outcome = await run_task(openai_agent(client, "tiny"), "Do it")

    assert outcome.response == "I will not."


async def test_tools_are_used_and_shown() -> None:
    """A tool gets what the model wrote, the model gets the result, viewers see the use."""
    replies: tuple[Reply, ...] = ({"": "Let me look.", "Weather": {"city": "Rome"}}, ["It is", " sunny."])
    async with model(*replies) as (client, server):
        outcome = await run_task(openai_agent(client, "tiny", tools={Weather: forecast}), "Weather?")

    assert outcome.response == "Let me look.\n\nIt is sunny."
    assert outcome.progress == (
        {"kind": "tool_call", "id": "call-Weather", "name": "Weather", "arguments": '{"city": "Rome"}'},
        {"kind": "tool_result", "id": "call-Weather", "name": "Weather"},
    )
    described = server.requests[0]["tools"][0]["function"]
    assert (described["name"], described["description"]) == ("Weather", "The weather of a city.")
    assert described["parameters"]["required"] == ["city"]
    call, result = server.requests[1]["messages"][-2:]
    assert call["tool_calls"] == [
        {
            "id": "call-Weather",
            "type": "function",
            "function": {"name": "Weather", "arguments": '{"city": "Rome"}'},
        }
    ]
    assert result == {"role": "tool", "tool_call_id": "call-Weather", "content": "sunny in Rome"}


@pytest.mark.parametrize("call", [{"Weather": "{broken"}, {"Weather": {"town": 1}}, {"Nothing": {}}])
async def test_the_model_learns_of_its_mistakes(call: dict[str, Any]) -> None:
    """Arguments that do not fit, or a tool that is not there, are told to the model, which may do better."""
    async with model(call, ["Sorry."]) as (client, server):
        outcome = await run_task(openai_agent(client, "tiny", tools={Weather: forecast}), "Weather?")

    assert outcome.response == "Sorry."
    assert "cannot be used so" in server.requests[1]["messages"][-1]["content"]


async def test_max_iterations() -> None:
    """A model that uses tools for ever is stopped where the request says."""
    again: Reply = {"Weather": {"city": "Rome"}}
    async with model(again, again, again) as (client, server):
        agent = openai_agent(client, "tiny", tools={Weather: forecast})
        with pytest.raises(Exception, match="more steps"):
            async for _ in agent(Task(message="Weather?", max_iterations=2)):
                pass

    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "code"), [(401, "llm_unauthorized"), (429, "llm_rate_limited")])
async def test_refusals_are_explained(status: int, code: str) -> None:
    """What the endpoint refuses fails the task in words that do not quote it."""
    async with model(status) as (client, _):
        outcome = await run_task(openai_agent(client, "tiny"), "hi")

    assert outcome.code == code
    assert "secret-key" not in str(outcome.result)


async def test_a_cancellation_reaches_the_model() -> None:
    """A task that is cancelled closes its connection, so the endpoint stops computing."""
    async with model() as (client, server):
        running = asyncio.create_task(run_task(openai_agent(client, "tiny"), "hi"))
        await wait_until(lambda: server.requests)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.wait_for(server.left.wait(), 5)
