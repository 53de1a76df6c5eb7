"""The connections to SQLite or Postgres, with their rules and a deadline on every answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from orchestrator.store.errors import StoreUnavailable, UnsupportedDatabase

AnswerT = TypeVar("AnswerT")
Work = Callable[[AsyncConnection], Awaitable[AnswerT]]
Engine = Literal["sqlite", "postgresql"]

READ_SECONDS: Final = 3.0
WRITE_SECONDS: Final = 10.0
"""A change may wait for another process's change (SQLite has one writer at a time)."""

_CLOSING_SECONDS: Final = 1.0

_PRAGMAS: Final = (
    # First, so that the others wait for a process that is switching the file to WAL just now.
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


class Database:
    """One engine; every failure to get an answer is a `StoreUnavailable`.

    A unit of work is never cancelled half way: a caller that stops waiting leaves it to its end,
    since a driver that is interrupted inside a transaction may hand a spoilt connection to the next.
    """

    def __init__(self, url: str, *, read_seconds: float = READ_SECONDS) -> None:
        self._url = _parse(url)
        self.engine: Engine = "sqlite" if self._url.get_backend_name() == "sqlite" else "postgresql"
        self.where = _where(self._url)
        self._read_seconds = read_seconds
        self._engine = _sqlite(self._url) if self.engine == "sqlite" else _postgres(self._url)
        self._readers = self._engine if self.engine == "sqlite" else _without_transactions(self._engine)
        self._units: set[asyncio.Task[Any]] = set()

    async def read(self, work: Work[AnswerT]) -> AnswerT:
        """What `work` finds, within the deadline for reads."""
        return await self._answer(self._reading(work), self._read_seconds)

    async def write(self, work: Work[AnswerT], *, seconds: float | None = WRITE_SECONDS) -> AnswerT:
        """What `work` returns, once its transaction is committed; an exception undoes all of it."""
        return await self._answer(self._writing(work), seconds)

    async def close(self) -> None:
        """Closes every connection; what is still asking is given up."""
        for unit in self._units:
            unit.cancel()
        if self._units:
            await asyncio.wait(self._units, timeout=_CLOSING_SECONDS)
        await self._engine.dispose()

    async def _reading(self, work: Work[AnswerT]) -> AnswerT:
        async with self._readers.connect() as connection:
            return await work(connection)

    async def _writing(self, work: Work[AnswerT]) -> AnswerT:
        async with self._engine.begin() as connection:
            if self.engine == "sqlite":
                # The writer's place is taken before anything is read: a later upgrade of the lock
                # fails at once instead of waiting, and what was read could be stale.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            return await work(connection)

    async def _answer(self, unit: Coroutine[Any, Any, AnswerT], seconds: float | None) -> AnswerT:
        task = asyncio.create_task(unit)
        self._units.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise StoreUnavailable(self.where, f"no answer within {seconds:g} s")
        try:
            return task.result()
        except (DBAPIError, PoolTimeout, OSError) as error:
            # Without the cause: a driver may quote what it was given to connect with.
            raise StoreUnavailable(self.where, self._reason(error)) from None

    def _forget(self, unit: asyncio.Task[Any]) -> None:
        self._units.discard(unit)
        if not unit.cancelled():
            unit.exception()  # asked for, so that nobody's late failure is logged as never retrieved

    def _reason(self, error: Exception) -> str:
        text = str(error.orig if isinstance(error, DBAPIError) else error)
        first = (text.strip() or type(error).__name__).splitlines()[0].rstrip(".")
        return first.replace(str(self._url.password), "***") if self._url.password else first


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UnsupportedDatabase("something that is no URL") from None
    if parsed.drivername not in ("sqlite+aiosqlite", "postgresql+psycopg"):
        raise UnsupportedDatabase(parsed.drivername)
    if parsed.drivername == "sqlite+aiosqlite" and parsed.database in (None, "", ":memory:"):
        # Each connection would have a database of its own.
        raise UnsupportedDatabase("SQLite in memory")
    return parsed


def _where(url: URL) -> str:
    """The URL as messages show it: no user, no password, no options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    port = f":{url.port}" if url.port else ""
    return f"{url.host or 'the local socket'}{port}/{url.database or ''}"


def _sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url, poolclass=AsyncAdaptedQueuePool, pool_size=5, max_overflow=0, pool_timeout=2
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _postgres(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=2,
        connect_args={
            "connect_timeout": 2,
            # A server whose machine is gone is noticed by what it does not acknowledge, in ms.
            "tcp_user_timeout": 3000,
            # Prepared statements do not survive a pooler that shares connections by transaction.
            "prepare_threshold": None,
        },
    )


def _without_transactions(engine: AsyncEngine) -> AsyncEngine:
    """The same pool for single statements, which then cost one round trip instead of three."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")
