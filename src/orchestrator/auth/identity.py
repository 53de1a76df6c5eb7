"""The identity of a caller: what a token proves, or what a gateway states (contract §6)."""

from typing import Final

import msgspec

from orchestrator.auth.claims import Claims
from orchestrator.errors import Code, Problem
from orchestrator.protocol.identifiers import is_valid_id, is_valid_user_id
from orchestrator.protocol.tiers import TIERS, Tier


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of an identity are called where they were read, for the sentence that refuses one."""

    tenant: str
    tier: str
    user: str
    session: str


IN_HEADERS: Final = Named(
    tenant="X-Tenant-ID", tier="X-Tenant-Tier", user="X-User-ID", session="X-Session-ID"
)
IN_QUERY: Final = Named(tenant="tenant_id", tier="tier", user="user_id", session="session_id")


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of itself; nothing of it is proven yet."""

    tenant: str | None
    tier: str | None = None
    user: str | None = None
    session: str | None = None
    named: Named = IN_HEADERS


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A caller as the service knows it."""

    tenant: str
    tier: Tier | None
    user: str
    """'' where the caller names nobody."""
    session: str | None
    bound: bool = False
    """Whether `session` is the only one that the token reaches."""
    agents: frozenset[str] | None = None
    """The only agents that the token reaches, as it spells them; None: any."""
    expires: float | None = None
    """When the token ends, Unix seconds; None: no token."""
    issued: float | None = None
    subject: tuple[str, str] = ("", "")
    """Tenant and user by whom a revocation would name the caller; no tenant for a token of the deployment."""

    def of_session(self) -> tuple[Tier, str]:
        """Tier and session, where a route requires both; raises `unauthorized` for an identity without them."""
        if self.tier is None or self.session is None:
            raise Problem("unauthorized", "the identity names no tier or no session")
        return self.tier, self.session

    def reach(self, session: str) -> None:
        """Raise `session_denied` for a session that the token does not reach."""
        if self.bound and session != self.session:
            raise Problem("session_denied", "the token is for another session")


def tenant_wide(tenant: str) -> Identity:
    """Whoever may see everything of a tenant: an operator at the console."""
    return Identity(tenant=tenant, tier=None, user="", session=None)


def identify(stated: Stated, claims: Claims | None) -> Identity:
    """Who calls: by the token, which the request may repeat and not contradict, or by what the request states.

    Raises `missing_headers`, `invalid_id` and `invalid_tier` for a malformed statement, `access_denied`,
    `tier_mismatch` and `session_denied` for one that contradicts the token, `unauthorized` for a token that names no
    tenant.
    """
    tier = _checked(stated)
    if claims is None:
        tenant, user = _tenant(stated), stated.user or ""
        return Identity(tenant=tenant, tier=tier, user=user, session=stated.session, subject=(tenant, user))
    if "admin" not in claims.scopes and (claims.tenant is None or claims.tier is None):
        raise Problem("unauthorized", "the token names no tenant or no tier")
    _check_against(stated, claims)
    return Identity(
        tenant=claims.tenant or _tenant(stated),
        tier=claims.tier or tier,
        # Who administers the deployment is nobody's user: the request may say for whom it asks.
        user=claims.user if claims.tenant else stated.user or "",
        session=claims.session or stated.session,
        bound=claims.session is not None,
        agents=claims.agents,
        expires=claims.expires,
        issued=claims.issued,
        subject=(claims.tenant or "", claims.user),
    )


def _tenant(stated: Stated) -> str:
    if stated.tenant is None:
        name = stated.named.tenant
        raise Problem("missing_headers", f"send this too: {name}", missing=[name])
    return stated.tenant


def _checked(stated: Stated) -> Tier | None:
    """The tier that is stated; raises the `Problem` of what is malformed."""
    if stated.tenant is not None:
        require_id(stated.named.tenant, stated.tenant)
    if stated.session is not None:
        require_id(stated.named.session, stated.session)
    if stated.user is not None:
        require_user_id(stated.named.user, stated.user)
    return None if stated.tier is None else require_tier(stated.tier)


def _check_against(stated: Stated, claims: Claims) -> None:
    named: Final = stated.named
    pairs: tuple[tuple[Code, str, str | None, str | None], ...] = (
        ("access_denied", named.tenant, stated.tenant, claims.tenant),
        ("tier_mismatch", named.tier, stated.tier, claims.tier),
        ("access_denied", named.user, stated.user, claims.user if claims.tenant else None),
        ("session_denied", named.session, stated.session, claims.session),
    )
    for code, name, said, proven in pairs:
        if said is not None and proven is not None and said != proven:
            raise Problem(code, f"{name} contradicts the token")


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


def require_tier(value: str) -> Tier:
    """The tier of this name; raises `invalid_tier`."""
    if value in TIERS:
        return value
    raise Problem("invalid_tier", f"tier {value[:40]!r} is not one of the four", allowed=list(TIERS))
