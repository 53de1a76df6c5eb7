"""What the commands share that look into Redis: the broker, and which tenants there are."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import click

from orchestrator.broker.access_cache import open_broker
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.cli.administration import valid_id
from orchestrator.settings import Settings
from orchestrator.store.errors import StoreError
from orchestrator.store.pages import every
from orchestrator.store.store import Store

AnswerT = TypeVar("AnswerT")

TENANT_OPTION = click.option("--tenant", metavar="T", type=valid_id, help="Only this tenant.")


def with_broker(work: Callable[[Broker], Awaitable[AnswerT]]) -> AnswerT:
    """Opens the Redis that the settings name, does `work`, closes it and returns what `work` returned."""
    settings = Settings.from_environment(os.environ)

    async def opened() -> AnswerT:
        async with open_broker(settings) as broker:
            await broker.set_clock()
            return await work(broker)

    return asyncio.run(opened())


async def tenants_of(broker: Broker, tenant: str | None) -> list[str]:
    """The tenant that was named, or every one that is known: active within an hour, or in the database."""
    if tenant is not None:
        return [tenant]
    found = set(await Agenda(broker).tenants())
    settings = Settings.from_environment(os.environ)
    if settings.enable_access_validation:
        # Without the database there are still those that Redis knows.
        with suppress(StoreError):
            async with Store(settings.database_url) as store:
                records = await every(lambda after: store.list_tenants(after=after))
                found.update(record.id for record in records)
    return sorted(found)
