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
    client: AsyncOpenAI, model: str, *, instructions: str = "", tools: Tools | None = None
) -> Callable[[Task], AsyncGenerator[str, None]]:
    """Streams what the model says; its tools show as progress.

    The request's `max_iterations` bounds how often the model is asked.
    """
    known = {kind.__name__: (kind, function) for kind, function in (tools or {}).items()}
    described: Any = [_description(kind) for kind in tools or {}] or omit

    async def answer(task: Task) -> AsyncGenerator[str, None]:
        told: list[Any] = [{"role": "system", "content": instructions}] if instructions else []
        told.append({"role": "user", "content": task.message})
        apart = ""
        for _ in range(task.max_iterations or _MOST_REQUESTS):
            asked = client.chat.completions.stream(model=model, messages=told, tools=described)
            with explained():
                async with asked as events:  # leaving it closes the connection, and so stops the model
                    async for event in events:
                        if isinstance(event, ContentDeltaEvent | RefusalDeltaEvent):
                            yield apart + event.delta
                            apart = ""
                    message = (await events.get_final_completion()).choices[0].message
            if not message.tool_calls:
                return
            calls = [call.model_dump(include=_CALL) for call in message.tool_calls]
            told.append({"role": "assistant", "content": message.content, "tool_calls": calls})
            told += [await _use(task, call, known) for call in calls]
            apart = "\n\n" if message.content else apart
        raise TaskError("The agent took more steps than it may.", code="max_iterations")

    return answer


def _description(kind: type[BaseModel]) -> Any:
    described = {
        "name": kind.__name__,
        "description": kind.__doc__ or "",
        "parameters": kind.model_json_schema(),
    }
    return {"type": "function", "function": described}


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
