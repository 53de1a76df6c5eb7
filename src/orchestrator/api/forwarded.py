"""What a trusted proxy says of the request that it forwards: which host was asked."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api.addresses import TrustedProxies

FORWARDED_HOST = "orchestrator.forwarded_host"
"""Where the scope has it, for `asked_host`."""


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
            host = Headers(scope=scope).get("x-forwarded-host")
            peer = scope.get("client")
            if host and peer and peer[0] in self._trusted:
                scope[FORWARDED_HOST] = host.rpartition(",")[2].strip()
        await self._app(scope, receive, send)


def asked_host(scope: Scope) -> str:
    """The host that the caller asked for: the trusted proxy's word, else `Host`."""
    return scope.get(FORWARDED_HOST) or Headers(scope=scope).get("host", "")
