"""What the administering commands share: settings, database and Redis, and how their arguments are read."""

import asyncio
import os
import pwd
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeVar

import click

from orchestrator.admission.administration import Administration
from orchestrator.admission.limit_rules import limit_fault
from orchestrator.broker.access_cache import AccessCache, open_broker
from orchestrator.broker.admissions import Admissions
from orchestrator.broker.broker import Broker
from orchestrator.broker.changes import Changes
from orchestrator.broker.tasks import Tasks
from orchestrator.broker.turns import Turns
from orchestrator.delivery.cancellation import Cancellation
from orchestrator.delivery.endings import Endings
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.dispatch.turn_taking import TurnTaking
from orchestrator.metrics import Metrics
from orchestrator.protocol.identifiers import PATTERN, is_valid_id, is_valid_user_id
from orchestrator.protocol.tiers import LIMIT_NAMES
from orchestrator.settings import Settings
from orchestrator.store.schema import ensure_schema
from orchestrator.store.store import Store
from orchestrator.telemetry import configure_logging

AnswerT = TypeVar("AnswerT")

_NOT_READ: Final = (
    "Note: with ORCHESTRATOR_ENABLE_ACCESS_VALIDATION=false the service does not read the database."
)


def administer(work: Callable[[Administration, str], Awaitable[AnswerT]]) -> AnswerT:
    """Does `work` with what the settings name, under the name of whoever typed the command."""

    async def opened(store: Store, settings: Settings) -> AnswerT:
        await ensure_schema(store)
        if not settings.enable_access_validation:
            click.echo(_NOT_READ, err=True)
        async with AsyncExitStack() as stack:
            late = _LateRedis(settings, stack)
            return await work(Administration(store, late, late, late), actor())

    _require_database()
    return with_store(opened)


def look(question: Callable[[Store], Awaitable[AnswerT]]) -> AnswerT:
    """What the database answers; Redis may be away."""

    async def opened(store: Store, _settings: Settings) -> AnswerT:
        await ensure_schema(store)
        return await question(store)

    _require_database()
    return with_store(opened)


def _require_database() -> None:
    """Raise where nobody named a database and nobody made one: a new one would be another than the service's."""
    file = Settings.from_environment(os.environ).database_url.removeprefix("sqlite+aiosqlite:///")
    if not os.environ.get("DATABASE_URL", "").strip() and not Path(file).exists():
        raise click.ClickException(
            f"DATABASE_URL is not set, and there is no database {file} here: set DATABASE_URL to the service's"
            " (`orchestrator dev` prints the line), or make one by `orchestrator db upgrade`"
        )


def with_store(work: Callable[[Store, Settings], Awaitable[AnswerT]]) -> AnswerT:
    """The same, whatever the database's schema is."""
    settings = Settings.from_environment(os.environ)

    async def opened() -> AnswerT:
        async with Store(settings.database_url) as store:
            return await work(store, settings)

    return asyncio.run(opened())


def cancellation(broker: Broker) -> Cancellation:
    """What ends tasks for a command; its log has errors alone, since the command says what it did."""
    log = configure_logging("ERROR", "text")
    errands = ErrandRunner(Admissions(broker), log)
    return Cancellation(
        Tasks(broker), errands, Endings(Metrics(), log, TurnTaking(Turns(broker), errands, log))
    )


def valid_id(text: str) -> str:
    """The type of an argument that is an id, checked before it comes near a key or a record."""
    if not is_valid_id(text):
        raise click.BadParameter(f"{text!r} must match {PATTERN}")
    return text


def valid_user(text: str) -> str:
    """The type of an argument that is a user id."""
    if not is_valid_user_id(text):
        raise click.BadParameter(f"{text!r} must be 1 to 255 printable characters")
    return text


def limit_pair(text: str) -> tuple[str, int | None]:
    """`NAME=NUMBER` as a pair; `NAME=` is a pair with None."""
    name, equals, number = text.partition("=")
    if not equals or name not in LIMIT_NAMES:
        raise click.BadParameter(f"{text!r} is not NAME=NUMBER with a NAME out of {', '.join(LIMIT_NAMES)}")
    # Longer ones are none either, and are not worth reading.
    value = int(number) if re.fullmatch("[0-9]{1,10}", number) else number or None
    if fault := limit_fault(name, value):
        raise click.BadParameter(fault)
    return name, value if isinstance(value, int) else None


def actor() -> str:
    """Who is noted in the audit table; not by LOGNAME or USER, which anybody may set."""
    number = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(number).pw_name}"
    except KeyError:  # a container may run under a number that has no name
        return f"cli:{number}"


class _LateRedis:
    """All that follows from a change. Redis is opened for it, not before: a refused change needs none."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._broker: Broker | None = None

    async def forget(self, tenant_ids: Iterable[str]) -> None:
        await AccessCache(await self._opened(), self._settings.validation_cache_ttl).forget(tenant_ids)

    async def suspend(self, tenant: str) -> tuple[int, int]:
        return await cancellation(await self._opened()).suspend(tenant)

    async def tenant_changed(self, tenant: str) -> None:
        await Changes(await self._opened()).tenant_changed(tenant)

    async def revoked(self, tenant: str, subject: str, at_micros: int) -> None:
        await Changes(await self._opened()).revoked(tenant, subject, at_micros)

    async def limits_changed(self) -> None:
        await Changes(await self._opened()).limits_changed()

    async def _opened(self) -> Broker:
        if self._broker is None:
            self._broker = await self._stack.enter_async_context(open_broker(self._settings))
        return self._broker
