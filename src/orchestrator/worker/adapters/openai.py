"""A model behind any OpenAI-compatible endpoint as an agent: `openai_agent(AsyncOpenAI(), "gpt-5.2")`."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from orchestrator.worker.errors import TaskError
from orchestrator.worker.task import Task

try:
    from openai import AsyncOpenAI, omit
    from openai.lib.streaming.chat import ContentDeltaEvent, RefusalDeltaEvent
    from pydantic import BaseModel, ValidationError

    from orchestrator.worker.adapters.openai_errors import explained
except ModuleNotFoundError as error:
    raise ImportError("OpenAI's client is missing: pip install 'orchestrator[openai]'") from error

_MOST_REQUESTS = 20
_CALL = {"id": True, "type": True, "function": {"name", "arguments"}}

Tools = Mapping[type[BaseModel], Callable[[Any], Awaitable[str]]]
"""By what each takes, whose name and docstring the model reads: the function that does it."""


def openai_agent(
    client: AsyncOpenAI, model: str, *, instructions: str = "", tools: Tools | None = None, usage: bool = True
) -> Callable[[Task], AsyncGenerator[str, None]]:
    """Streams what the model says; tools show as progress. `max_iterations` bounds how often it is asked."""
    known = {kind.__name__: (kind, function) for kind, function in (tools or {}).items()}
    described: Any = [_description(kind) for kind in tools or {}] or omit
    options = {"include_usage": True} if usage else omit  # a few endpoints know no such member
    request: Any = {"model": model, "tools": described, "stream_options": options}

    async def answer(task: Task) -> AsyncGenerator[str, None]:
        told: list[Any] = [{"role": "system", "content": instructions}] if instructions else []
        told.append({"role": "user", "content": task.message})
        apart = ""
        for _ in range(task.max_iterations or _MOST_REQUESTS):
            asked = client.chat.completions.stream(messages=told, **request)
            with explained():
                async with asked as events:  # leaving it closes the connection, and so stops the model
                    async for event in events:
                        if isinstance(event, ContentDeltaEvent | RefusalDeltaEvent):
                            yield apart + event.delta
                            apart = ""
                    said = await events.get_final_completion()
            if used := said.usage:
                counted = {"input": used.prompt_tokens, "output": used.completion_tokens}
                task.tokens_used(**counted, total=used.total_tokens)
            message = said.choices[0].message
            if not message.tool_calls:
                return
            calls = [call.model_dump(include=_CALL) for call in message.tool_calls]
            told.append({"role": "assistant", "content": message.content, "tool_calls": calls})
            told += [await _use(task, call, known) for call in calls]
            apart = "\n\n" if message.content else apart
        raise TaskError("The agent took more steps than it may.", code="max_iterations")

    return answer


def _description(kind: type[BaseModel]) -> Any:
    about = {"name": kind.__name__, "description": kind.__doc__ or ""}
    return {"type": "function", "function": {**about, "parameters": kind.model_json_schema()}}


async def _use(task: Task, call: Any, known: Mapping[str, Any]) -> Any:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    await task.emit("tool_call", id=call["id"], name=name, arguments=arguments)
    try:
        kind, function = known[name]
        given = kind.model_validate_json(arguments)
    except (KeyError, ValidationError) as error:
        result = f"This tool cannot be used so: {error}"
    else:
        result = await function(given)
    await task.emit("tool_result", id=call["id"], name=name)
    return {"role": "tool", "tool_call_id": call["id"], "content": result}
