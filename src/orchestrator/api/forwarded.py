"""What a trusted proxy says of the request that it forwards: which host was asked, by whom and how."""

from typing import Any, Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from orchestrator.api.addresses import TrustedProxies
from orchestrator.api.request_headers import headers_of

FORWARDED_HOST = "orchestrator.forwarded_host"
"""Where the scope has it, for `asked_host`."""


_FORWARDED: Final = b"x-forwarded-"


class Forwarded:
    """Believes what trusted proxies say; of most requests nobody says anything, which one look tells."""

    def __init__(self, app: ASGIApp, trusted: tuple[str, ...]) -> None:
        self._app = app
        # starlette's type of an application does not fit uvicorn's of the same protocol
        by_client = cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", app), trusted_hosts=list(trusted)))
        self._told = ForwardedHost(by_client, trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        told = any(name.startswith(_FORWARDED) for name, _ in scope.get("headers", ()))
        await (self._told if told else self._app)(scope, receive, send)


class ForwardedHost:
    """Notes `X-Forwarded-Host`, from trusted proxies only; scheme and client are uvicorn's middleware's.

    It stands outside of that one, which replaces the peer's address by the client's.
    """

    def __init__(self, app: ASGIApp, trusted: tuple[str, ...]) -> None:
        self._app = app
        self._trusted = TrustedProxies(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] in {"http", "websocket"}:
            host = headers_of(scope).get("x-forwarded-host")
            peer = scope.get("client")
            if host and peer and peer[0] in self._trusted:
                scope[FORWARDED_HOST] = host.rpartition(",")[2].strip()
        await self._app(scope, receive, send)


def asked_host(scope: Scope) -> str:
    """The host that the caller asked for: the trusted proxy's word, else `Host`."""
    return scope.get(FORWARDED_HOST) or headers_of(scope).get("host", "")
