"""The connections to SQLite or Postgres, with their rules and a deadline on every answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from threading import Thread
from typing import Any, Final, Literal, TypeVar
from weakref import WeakSet

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.store.engines import open_postgres, open_sqlite
from orchestrator.store.errors import StoreUnavailable, UnsupportedDatabase

AnswerT = TypeVar("AnswerT")
Work = Callable[[AsyncConnection], Awaitable[AnswerT]]
Engine = Literal["sqlite", "postgresql"]

READ_SECONDS: Final = 3.0
WRITE_SECONDS: Final = 10.0
"""A change may wait for another process's change (SQLite has one writer at a time)."""

_CLOSING_SECONDS: Final = 1.0


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
        self.threads = WeakSet[Thread]()
        """Those of SQLite's connections, as long as they run."""
        self._units = set[asyncio.Task[Any]]()
        self._engine, self._readers = self._open()

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
        for thread in list(self.threads):
            # Its last act is a message to this loop: a loop that is closed by then makes it a traceback.
            await asyncio.to_thread(thread.join, _CLOSING_SECONDS)

    def _open(self) -> tuple[AsyncEngine, AsyncEngine]:
        if self.engine == "sqlite":
            engine = open_sqlite(self._url, self.threads)
            return engine, engine
        engine = open_postgres(self._url)
        # The same pool for single statements, which without BEGIN and ROLLBACK cost one round trip.
        return engine, engine.execution_options(isolation_level="AUTOCOMMIT")

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
