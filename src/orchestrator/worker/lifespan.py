"""What all tasks of a worker share: opened before the first, closed after the last."""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, cast

Lifespan = Callable[[], AbstractAsyncContextManager[Any]] | Callable[[], AsyncIterator[Any]]
"""An asynchronous context manager, or an `async def` that yields once what becomes `task.resources`."""


def checked(lifespan: Lifespan) -> Lifespan:
    """TypeError where it can be called by nobody, or only with arguments."""
    if not callable(lifespan) or inspect.iscoroutinefunction(lifespan):
        raise TypeError(
            "a lifespan is an `async def` that yields once, or gives an asynchronous context manager"
        )
    inspect.signature(lifespan).bind()
    return lifespan


def opened(lifespan: Lifespan | None) -> AbstractAsyncContextManager[Any]:
    """What to enter; its value is for the tasks."""
    if lifespan is None:
        return nullcontext()
    if inspect.isasyncgenfunction(lifespan):
        return asynccontextmanager(lifespan)()
    return cast("AbstractAsyncContextManager[Any]", lifespan())
