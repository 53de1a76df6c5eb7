"""Lists by pages: in order of id as bytes, which is the same on both engines, whatever the database's locale."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Column, Select
from sqlalchemy.ext.asyncio import AsyncConnection

PAGE: Final = 1_000
"""Records of one page unless asked for."""


class Listed(Protocol):
    """A record of a list."""

    @property
    def id(self) -> str: ...


ListedT = TypeVar("ListedT", bound=Listed)


def page(
    statement: Select[Any], key: Column[str], connection: AsyncConnection, after: str | None, limit: int
) -> Select[Any]:
    """The first `limit` rows of the statement whose `key` comes behind `after`."""
    # SQLite compares bytes by itself, and has no collation of this name.
    by = key.collate("C") if connection.dialect.name == "postgresql" else key
    behind = statement if after is None else statement.where(by > after)
    return behind.order_by(by).limit(limit)


async def every(listing: Callable[[str | None], Awaitable[Sequence[ListedT]]]) -> list[ListedT]:
    """All records, page by page: `listing` returns those behind an id."""
    found: list[ListedT] = []
    while records := await listing(found[-1].id if found else None):
        found += records
    return found
