"""The headers of a request, looked up by name: Starlette's walk through all of them for each name."""

from collections.abc import Iterable
from typing import Final, TypeVar, overload

from starlette.datastructures import Headers
from starlette.types import Scope

OtherT = TypeVar("OtherT")
_KEPT: Final = "orchestrator.headers"
RawHeaders = Iterable[tuple[bytes, bytes]]


class TooManyHeaders(Exception):
    """Stops the parser."""


class RequestHeaders(Headers):
    """Taken apart once; names in `raw` are in lower case, as ASGI has them."""

    def __init__(self, raw: RawHeaders) -> None:
        raw = list(raw)
        super().__init__(raw=raw)
        self._found: Final[dict[str, list[str]]] = {}
        found = self._found
        for raw_name, raw_value in raw:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            if name in found:
                found[name].append(value)
            else:
                found[name] = [value]

    def lists(self) -> Iterable[tuple[str, list[str]]]:
        """Each name, in lower case, in the request's order, with all its values."""
        return self._found.items()

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether there is any of these names, in lower case."""
        return not names.isdisjoint(self._found)

    def __getitem__(self, key: str) -> str:
        return self._found[key.lower()][0]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._found

    @overload
    def get(self, key: str, /) -> str | None: ...
    @overload
    def get(self, key: str, /, default: str | OtherT) -> str | OtherT: ...
    def get(self, key: str, /, default: object = None) -> object:
        """The first value of this name."""
        values = self._found.get(key.lower())
        return values[0] if values else default

    def getlist(self, key: str) -> list[str]:
        """Every value of this name."""
        return self._found.get(key.lower(), [])


def headers_of(scope: Scope) -> RequestHeaders:
    """The headers of a request or handshake; taken apart when they are first asked for."""
    kept: RequestHeaders | None = scope.get(_KEPT)
    if kept is None:
        kept = scope[_KEPT] = RequestHeaders(scope["headers"])
    return kept
