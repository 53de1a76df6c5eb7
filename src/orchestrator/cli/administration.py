"""What the administering commands share: settings, database and cache, and how their arguments are read."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import click

from orchestrator.admission.administration import Administration
from orchestrator.protocol.identifiers import PATTERN, is_valid_id
from orchestrator.settings import Settings
from orchestrator.store.schema import ensure_schema
from orchestrator.store.store import Store

AnswerT = TypeVar("AnswerT")


def administer(work: Callable[[Administration], Awaitable[AnswerT]]) -> AnswerT:
    """Opens what the settings name, does `work`, closes everything and returns what `work` returned."""

    async def opened(store: Store, settings: Settings) -> AnswerT:
        await ensure_schema(store)
        return await work(Administration(store, _LateAccessCache(settings)))

    return with_store(opened)


def with_store(work: Callable[[Store, Settings], Awaitable[AnswerT]]) -> AnswerT:
    """The same with the database alone, whatever its schema is."""
    settings = Settings.from_environment(os.environ)

    async def opened() -> AnswerT:
        async with Store(settings.database_url) as store:
            return await work(store, settings)

    return asyncio.run(opened())


class _LateAccessCache:
    """Opens Redis only when something is to be forgotten: what only reads the database needs none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        from orchestrator.broker.access_cache import open_access_cache  # noqa: PLC0415

        async with open_access_cache(self._settings) as cache:
            await cache.forget(tenant_ids)


def valid_id(text: str) -> str:
    """The type of an argument that is an id, checked before it comes near a key or a record."""
    if not is_valid_id(text):
        raise click.BadParameter(f"{text!r} must match {PATTERN}")
    return text
