"""The chat page, its files, and the descriptions of the interfaces."""

from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from orchestrator.api.problems import JsonResponse

# Not every browser counts a WebSocket of the same origin as 'self'.
_POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def static_directory() -> Path:
    """Where the console's files lie."""
    return Path(__file__).parent.parent / "console"


class Pages:
    """The routes for people."""

    def __init__(self, openapi: dict[str, Any], asyncapi: dict[str, Any]) -> None:
        self._index = (static_directory() / "index.html").read_text(encoding="utf-8")
        self._docs = (static_directory() / "docs.html").read_text(encoding="utf-8")
        self._openapi = openapi
        self._asyncapi = asyncapi

    async def index(self, _request: Request) -> Response:
        """The chat."""
        return _page(self._index)

    async def docs(self, _request: Request) -> Response:
        """A page that shows the descriptions."""
        return _page(self._docs)

    async def openapi(self, _request: Request) -> Response:
        """The HTTP interface."""
        return JsonResponse(self._openapi)

    async def asyncapi(self, _request: Request) -> Response:
        """The WebSocket and the queues."""
        return JsonResponse(self._asyncapi)


def _page(html: str) -> Response:
    return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache",
                                       "Referrer-Policy": "no-referrer"})  # fmt: skip
