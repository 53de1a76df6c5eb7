"""Four small agents: one for each way in which a task can go."""

import asyncio
import importlib
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from orchestrator.worker import AgentWorker, Task, TaskError

_PAUSE: Final = 0.035
_LONGEST_ANSWER: Final = 20.0
"""Seconds; a long message is echoed faster."""

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


@worker.agent("agent-fail")
async def give_up(_: Task) -> AsyncGenerator[str, None]:
    """Fails after two words."""
    yield "I "
    yield "would "
    raise TaskError("This agent always gives up after two words.", code="demo_failure")


def _words(text: str) -> Iterator[str]:
    return (found[0] for found in re.finditer(r"\s*\S+\s*", text))
