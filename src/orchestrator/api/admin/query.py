"""The query parameters of an administrator's lists, strict as the bodies are: a typo must not list everything."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.datastructures import QueryParams

from orchestrator.auth.identity import require_id
from orchestrator.errors import Problem
from orchestrator.store.pages import Listed

PAGE: Final = 100
PAGE_MAX: Final = 1_000
"""Records of one answer: unless asked for, and at most."""


class Query:
    """The parameters of a request; every one that is not among `known`, or is given twice, is refused."""

    def __init__(self, parameters: QueryParams, *known: str) -> None:
        for name in parameters:
            if name not in known:
                raise _bad(name[:40], f"there is no parameter {name[:40]!r}; there are {', '.join(known)}")
            if len(parameters.getlist(name)) > 1:
                raise _bad(name, f"{name} is given twice")
        self._parameters = parameters

    def id(self, name: str) -> str | None:
        """An id, or None where it is absent."""
        value = self._parameters.get(name)
        if value is not None:
            require_id(name, value)
        return value

    def whole(self, name: str, most: int) -> int | None:
        """A whole number from 1 to `most`, or None where it is absent."""
        value = self._parameters.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal() and len(value) < 20 and 1 <= int(value) <= most):
            raise _bad(name, f"{name} must be a whole number from 1 to {most}")
        return int(value)

    def limit(self) -> int:
        """How many records to answer with at most."""
        return self.whole("limit", PAGE_MAX) or PAGE


def page_of(name: str, records: Sequence[Listed], limit: int) -> dict[str, Any]:
    """The body of a list, of whose records one more than `limit` was asked for; the next page begins behind `next`."""
    shown = records[:limit]
    return {name: shown, "next": shown[-1].id if len(records) > limit else None}


def _bad(name: str, detail: str) -> Problem:
    return Problem("invalid_id", detail, parameter=name)
