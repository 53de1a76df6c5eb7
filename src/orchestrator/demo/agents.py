"""Five small agents: one for each way in which a task can go."""

import asyncio
import importlib
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from orchestrator.worker import AgentWorker, AskExpired, Task, TaskError

_PAUSE: Final = 0.035
_LONGEST_ANSWER: Final = 20.0
"""Seconds; a long message is echoed faster."""

_PATIENCE: Final = 600.0
"""Seconds; how long a question of `agent-ask` stays open."""

_DRINKS: Final = {"type": "string", "enum": ["coffee", "tea", "water"]}
_ORDER: Final = {
    "type": "object",
    "properties": {
        "cups": {"title": "Cups", "type": "integer", "minimum": 1, "maximum": 12, "default": 1},
        "name": {"title": "Name", "type": "string", "maxLength": 40},
    },
    "required": ["cups"],
    "additionalProperties": False,
}

worker: Final = AgentWorker(concurrency=64)


@worker.agent("agent-123")
async def echo(task: Task) -> AsyncGenerator[str, None]:
    """Says what it was told, word by word."""
    words = list(_words(f"You said: {task.message}"))
    for word in words:
        yield word
        await asyncio.sleep(min(_PAUSE, _LONGEST_ANSWER / len(words)))


@worker.agent("agent-llm")
async def ask_model(task: Task) -> AsyncGenerator[str, None]:
    """Passes the message to the model that OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL name."""
    # The client takes seconds to import, and most who try the demo never ask for it.
    try:
        llm = await asyncio.to_thread(importlib.import_module, "orchestrator.demo.llm")
    except ModuleNotFoundError as error:
        message = "This agent needs another package: pip install 'orchestrator[openai]'."
        raise TaskError(message, code="llm_not_configured") from error
    async for delta in llm.stream_chat(task.message):
        yield delta


@worker.agent("agent-slow")
async def count(_: Task) -> AsyncGenerator[str, None]:
    """Takes a minute, so that there is time to cancel it, to reload the page or to kill the server."""
    for second in range(1, 61):
        yield f"{second} "
        await asyncio.sleep(1)


@worker.agent("agent-ask")
async def take_order(task: Task) -> AsyncGenerator[str, None]:
    """Asks the user twice before it answers: a choice, then a small form."""
    try:
        drink = await task.ask("What may I bring you?", _DRINKS, expires_in=_PATIENCE)
        order = await task.ask(f"How many cups of {drink}, and for whom?", _ORDER, expires_in=_PATIENCE)
    except AskExpired:
        yield "Nobody told me, so I bring nothing."
        return
    for word in _words(f"{order['cups']} × {drink} for {order.get('name', 'you')}, coming up."):
        yield word
        await asyncio.sleep(_PAUSE)


@worker.agent("agent-fail")
async def give_up(_: Task) -> AsyncGenerator[str, None]:
    """Fails after two words."""
    yield "I "
    yield "would "
    raise TaskError("This agent always gives up after two words.", code="demo_failure")


def _words(text: str) -> Iterator[str]:
    return (found[0] for found in re.finditer(r"\s*\S+\s*", text))
