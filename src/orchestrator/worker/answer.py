"""Runs an agent's function, whichever of its two forms it has."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, cast

from orchestrator.worker.task import Task

Answer = str | dict[str, Any]
Handler = Callable[[Task], Awaitable[Answer]] | Callable[[Task], AsyncIterator[str]]
Emit = Callable[[str], Awaitable[None]]


def is_handler(function: object) -> bool:
    """Whether `function` is an `async def`, with or without `yield`."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


async def answer(handler: Handler, task: Task, emit: Emit) -> Answer | None:
    """What `handler` returns, or None where it yields: then each chunk went to `emit`.

    Raises what the handler raises, and TypeError where it gives neither text nor a dict.
    """
    running = handler(task)
    if isinstance(running, AsyncIterator):
        # `is_handler` lets nothing else through that one can iterate over.
        await _relay(cast("AsyncGenerator[str, None]", running), emit)
        return None
    returned = await running
    _must_be(returned, str, dict)
    return returned


async def _relay(chunks: AsyncGenerator[str, None], emit: Emit) -> None:
    async with aclosing(chunks):
        async for chunk in chunks:
            _must_be(chunk, str)
            try:
                await emit(chunk)
            except asyncio.CancelledError:
                # The handler stands at its `yield`: closing it would tell it GeneratorExit only.
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await chunks.athrow(asyncio.CancelledError())
                raise


def _must_be(given: object, *types: type) -> None:
    if not isinstance(given, types):
        allowed = " or ".join(kind.__name__ for kind in types)
        raise TypeError(f"the agent gave {type(given).__name__} where it should give {allowed}")
