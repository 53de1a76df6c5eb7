"""From where a browser may call: same origin, or listed (contract §6)."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from orchestrator.errors import Problem

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origins:
    """The rule for `Origin` and, where the service trusts its own machine, for `Host`."""

    def __init__(self, allowed: tuple[str, ...], *, loopback_only: bool) -> None:
        self._allowed = frozenset(allowed)
        self._loopback_only = loopback_only
        self._own_host = ""
        """A name of this machine that was asked for: mostly the next request asks for the same."""

    def could_ask(self, origin: str, asked_host: str, scheme: str) -> bool:
        """Whether a browser of this origin may call at all."""
        return origin in self._allowed or is_same_origin(origin, asked_host, scheme)

    def is_listed(self, origin: str) -> bool:
        """Whether this origin is one of ORCHESTRATOR_ALLOWED_ORIGINS, exactly."""
        return origin in self._allowed

    def check(self, headers: Headers, asked_host: str, scheme: str) -> None:
        """Raise `access_denied` for a browser that has no business here; no `Origin` is no browser.

        `asked_host` is the host that the caller asked for, by a trusted proxy's word where there is one.

        A page whose name was rebound to 127.0.0.1 is same-origin to itself: so in header mode on loopback `Host` has to
        be a name of this machine.
        """
        origins, hosts = headers.getlist("origin"), headers.getlist("host")
        if len(origins) > 1 or len(hosts) > 1:
            raise Problem("access_denied", "a request has one Host, and one Origin at most")
        if self._loopback_only and not self._is_own(hosts[0] if hosts else ""):
            raise Problem("access_denied", "Host must be a name of this machine, like localhost or 127.0.0.1")
        if not origins or self.could_ask(origins[0], asked_host, scheme):
            return
        raise Problem("access_denied", "this Origin is not allowed (ORCHESTRATOR_ALLOWED_ORIGINS)")

    def _is_own(self, host: str) -> bool:
        if host != self._own_host:
            if not _is_loopback(host):
                return False
            self._own_host = host
        return True


def is_same_origin(origin: str, host: str, scheme: str) -> bool:
    """Whether `origin` is the service's own: host and port equal.

    A proxy that ends TLS and says nothing leaves both without a port, so text is enough.
    """
    if origin.partition("://")[2].lower() == host.lower():
        return True
    try:
        given, served = urlsplit(origin), urlsplit(f"{scheme}://{host}")
        ports = [part.port or _DEFAULT_PORTS.get(part.scheme) for part in (given, served)]
    except ValueError:
        return False
    return given.hostname is not None and given.hostname == served.hostname and ports[0] == ports[1]


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
