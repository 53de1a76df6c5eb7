"""How SQLite and Postgres are connected to: pools, time limits and the rules of every connection."""

import sqlite3
import threading
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

_PRAGMAS: Final = (
    # First, so that the others wait for a process that is switching the file to WAL just now.
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


def open_sqlite(url: URL, threads: WeakSet[threading.Thread]) -> AsyncEngine:
    """Five connections to the file; each has a thread of its own, which joins `threads`."""

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        threads.add(threading.current_thread())
        return sqlite3.Connection(*args, **kwargs)

    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=5,
        max_overflow=0,
        pool_timeout=2,
        connect_args={"factory": connect},
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


def open_postgres(url: URL) -> AsyncEngine:
    """A pool that looks at a connection before it uses it, so that a restarted server is found again."""
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


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
