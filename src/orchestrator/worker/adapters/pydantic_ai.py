"""Pydantic AI's agents as agents: `worker.agent("agent-helper")(pydantic_ai_agent(agent))`."""

from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

from orchestrator.worker.errors import TaskError
from orchestrator.worker.task import Task

try:
    import pydantic_ai as ai
    from pydantic_ai.agent import AbstractAgent
    from pydantic_core import to_json
except ModuleNotFoundError as error:
    raise ImportError("Pydantic AI is missing: pip install 'orchestrator[pydantic-ai]'") from error

_MOST_REQUESTS = 50


def no_options(_: Task) -> dict[str, Any]:
    """The message is all that the run gets."""
    return {}


def pydantic_ai_agent(
    agent: AbstractAgent[Any, Any], *, options: Callable[[Task], dict[str, Any]] = no_options
) -> Callable[[Task], AsyncGenerator[str, None]]:
    """Streams what the agent says; its tools show as progress. An output that is no text is given as JSON.

    `options` are what else the run gets for a task: `deps`, `message_history`, `model_settings`, ….
    The request's `max_iterations` bounds how often the model is asked.
    """

    async def answer(task: Task) -> AsyncGenerator[str, None]:
        limits: Any = ai.UsageLimits(request_limit=task.max_iterations or _MOST_REQUESTS)
        given: dict[str, Any] = {"usage_limits": limits, **options(task)}
        said = False
        try:
            # Leaving the block stops the run, so a cancellation does too.
            async with agent.run_stream_events(task.message, **given) as events:
                async for event in events:
                    await _show(task, event)
                    if text := _text(event):
                        # A model that speaks, uses a tool and speaks again has said two paragraphs.
                        apart = said and isinstance(event, ai.PartStartEvent)
                        yield f"\n\n{text}" if apart else text
                        said = True
        except ai.UsageLimitExceeded as error:
            raise TaskError("The agent took more steps than it may.", code="max_iterations") from error

    return answer


def _text(event: Any) -> str:
    match event:
        case ai.PartStartEvent(part=ai.TextPart(content=text)):
            return text
        case ai.PartDeltaEvent(delta=ai.TextPartDelta(content_delta=text)):
            return text
        case ai.AgentRunResultEvent():
            output = cast("Any", event).result.output
            return "" if isinstance(output, str) else to_json(output).decode()
        case _:
            return ""


async def _show(task: Task, event: Any) -> None:
    if isinstance(event, ai.AgentRunResultEvent):
        used = cast("Any", event).result.usage
        task.tokens_used(input=used.input_tokens, output=used.output_tokens, total=used.total_tokens)
    elif isinstance(event, ai.FunctionToolCallEvent):
        call = event.part
        await task.emit("tool_call", id=call.tool_call_id, name=call.tool_name, arguments=call.args_as_dict())
    elif isinstance(event, ai.FunctionToolResultEvent):
        await task.emit("tool_result", id=event.tool_call_id, name=event.part.tool_name)
