"""What a trusted proxy says of the request that it forwards: which host was asked, by whom and how."""

from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from orchestrator.api.addresses import TrustedProxies
from orchestrator.api.endpoints import Handler, KnownRequest
from orchestrator.api.request_headers import headers_of

FORWARDED_HOST = "orchestrator.forwarded_host"
"""Where the scope has it, for `asked_host`."""
_TELL: Final = frozenset({"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})


class Forwarded:
    """Believes what trusted proxies say; of most requests nobody says anything, which one look tells."""

    def __init__(self, app: ASGIApp, trusted: tuple[str, ...]) -> None:
        self._app = app
        self._trusted = TrustedProxies(trusted)
        # It changes the scope and passes it on, which is our affair.
        self._client_and_scheme: Any = ProxyHeadersMiddleware(_no_further, trusted_hosts=list(trusted))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "lifespan" and headers_of(scope).has_any(_TELL):
            await self._believe(scope)
        await self._app(scope, receive, send)

    def direct(self, handler: Handler) -> Handler:
        """The same for a request that came whole."""

        async def believing(request: KnownRequest) -> Response:
            await self._believe(request.scope)
            return await handler(request)

        return lambda request: (believing if request.headers.has_any(_TELL) else handler)(request)

    async def _believe(self, scope: Scope) -> None:
        host, peer = headers_of(scope).get("x-forwarded-host"), scope.get("client")
        if host and peer and peer[0] in self._trusted:
            scope[FORWARDED_HOST] = host.rpartition(",")[2].strip()
        # Last: it replaces the peer's address by the client's.
        await self._client_and_scheme(scope, None, None)


async def _no_further(*_: object) -> None:
    """Ends the way of an ASGI middleware."""


def asked_host(scope: Scope) -> str:
    """The host that the caller asked for: the trusted proxy's word, else `Host`."""
    return scope.get(FORWARDED_HOST) or headers_of(scope).get("host", "")
