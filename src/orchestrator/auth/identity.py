"""The identity of a caller, and the step that makes it (contract §6)."""

import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from orchestrator.errors import Problem
from orchestrator.protocol.identifiers import is_valid_id, is_valid_user_id
from orchestrator.protocol.tiers import TIERS, Tier


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of an identity are called where they were read, for the sentence that refuses one."""

    tenant: str
    user: str
    session: str


IN_HEADERS: Final = Named(tenant="X-Tenant-ID", user="X-User-ID", session="X-Session-ID")
IN_QUERY: Final = Named(tenant="tenant_id", user="user_id", session="session_id")


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of itself; nothing of it is proven yet."""

    tenant: str
    tier: str | None = None
    user: str | None = None
    session: str | None = None
    named: Named = IN_HEADERS


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A caller as the service knows it; only `Identifier` makes one."""

    tenant: str
    tier: Tier | None
    user: str
    """'' where the caller names nobody."""
    session: str | None

    def of_session(self) -> tuple[Tier, str]:
        """Tier and session, where a route requires both; raises `unauthorized` for an identity without them."""
        if self.tier is None or self.session is None:
            raise Problem("unauthorized", "the identity names no tier or no session")
        return self.tier, self.session


class Identifier:
    """Header mode: what a trusted gateway, or a caller on this machine, states is so."""

    def __init__(self, gateway_secret: str | None) -> None:
        self._secret = gateway_secret.encode() if gateway_secret else None

    @property
    def needs_secret(self) -> bool:
        """Whether every request has to prove that it comes from the gateway."""
        return self._secret is not None

    def check_gateway(self, headers: Mapping[str, str]) -> None:
        """Raise `unauthorized` without the gateway's secret; compared in constant time."""
        if self._secret is None:
            return
        given = headers.get("x-gateway-secret", "").encode()
        if not hmac.compare_digest(given, self._secret):
            raise Problem("unauthorized", "X-Gateway-Secret is missing or wrong")

    def identify(self, stated: Stated) -> Identity:
        """The identity of a well-formed statement; raises `invalid_id` and `invalid_tier`."""
        require_id(stated.named.tenant, stated.tenant)
        if stated.session is not None:
            require_id(stated.named.session, stated.session)
        if stated.user is not None:
            require_user_id(stated.named.user, stated.user)
        return Identity(
            tenant=stated.tenant, tier=_tier(stated.tier), user=stated.user or "", session=stated.session
        )


def require_id(name: str, value: str) -> None:
    """Raise `invalid_id` unless `value` can be an id; the name says where it was."""
    if not is_valid_id(value):
        raise Problem(
            "invalid_id",
            f"{name} must be 1 to 128 letters, digits, '-', '_', '.', '@' or '+', and not begin with '.', '@' or '+'",
            parameter=name,
        )


def require_user_id(name: str, value: str) -> None:
    """Raise `invalid_id` unless `value` can be a user id."""
    if not is_valid_user_id(value):
        raise Problem("invalid_id", f"{name} must be 1 to 255 printable characters", parameter=name)


def _tier(stated: str | None) -> Tier | None:
    if stated is None:
        return None
    for tier in TIERS:
        if tier == stated:
            return tier
    raise Problem("invalid_tier", f"tier {stated[:40]!r} is not one of the four", allowed=list(TIERS))
