"""What is loaded: where it is, and as whom one speaks to it."""

import ipaddress
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from orchestrator.errors import OrchestratorError
from orchestrator.protocol.tiers import Tier


class BenchError(OrchestratorError):
    """The load cannot be put on; the message says why."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment, and one tenant of it."""

    url: str
    """`http://host:port`, or `https://…`, without a slash at the end."""
    tenant: str
    agent: str
    tier: Tier
    token: str = ""
    gateway_secret: str = ""

    def headers(self) -> dict[str, str]:
        """What requests and handshakes carry; a token says the same, and may not be contradicted."""
        named = {"X-Tenant-ID": self.tenant, "X-Tenant-Tier": self.tier}
        if self.token:
            named["Authorization"] = f"Bearer {self.token}"
        if self.gateway_secret:
            named["X-Gateway-Secret"] = self.gateway_secret
        return named

    def socket_url(self, session: str, position: str) -> str:
        """Where a session is followed, from `position` on where there is one."""
        query = {"tenant_id": self.tenant, "tier": self.tier} | ({"position": position} if position else {})
        return f"ws{self.url.removeprefix('http')}/ws/{quote(session)}?{urlencode(query)}"


def is_web_address(url: str) -> bool:
    """Whether requests can go there."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def is_on_this_machine(url: str) -> bool:
    """Whether an address is of the loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
