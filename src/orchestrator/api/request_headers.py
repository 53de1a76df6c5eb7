"""The headers of a request, looked up by name: Starlette's walk through all of them for each name."""

from collections.abc import Iterable
from typing import Final, TypeVar, overload

from starlette.datastructures import Headers
from starlette.types import Scope

OtherT = TypeVar("OtherT")
_KEPT: Final = "orchestrator.headers"
RawHeaders = Iterable[tuple[bytes, bytes]]


class RequestHeaders(Headers):
    """Taken apart once; names in `raw` are in lower case, as ASGI has them."""

    def __init__(self, raw: RawHeaders) -> None:
        super().__init__(raw=list(raw))
        self._found: Final[dict[str, list[str]]] = {}
        for name, value in self.raw:
            self._found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

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


def headers_of(scope: Scope) -> Headers:
    """The headers of a request or handshake; taken apart when they are first asked for."""
    kept: Headers | None = scope.get(_KEPT)
    if kept is None:
        kept = scope[_KEPT] = RequestHeaders(scope["headers"])
    return kept
