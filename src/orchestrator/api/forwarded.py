"""What a trusted proxy says of the request that it forwards: which host was asked."""

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

FORWARDED_HOST = "orchestrator.forwarded_host"
"""Where the scope has it, for `asked_host`."""


class ForwardedHost:
    """Notes `X-Forwarded-Host`, from trusted proxies only; scheme and client are uvicorn's middleware's.

    It stands outside of that one, which replaces the peer's address by the client's.
    """

    def __init__(self, app: ASGIApp, trusted: tuple[str, ...]) -> None:
        self._app = app
        self._trusted = [ipaddress.ip_network(network) for network in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] in {"http", "websocket"}:
            host = Headers(scope=scope).get("x-forwarded-host")
            if host and self._is_trusted(scope.get("client")):
                scope[FORWARDED_HOST] = host.rpartition(",")[2].strip()
        await self._app(scope, receive, send)

    def _is_trusted(self, peer: tuple[str, int] | None) -> bool:
        try:
            address = ipaddress.ip_address(peer[0] if peer else "")
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def asked_host(scope: Scope) -> str:
    """The host that the caller asked for: the trusted proxy's word, else `Host`."""
    return scope.get(FORWARDED_HOST) or Headers(scope=scope).get("host", "")
