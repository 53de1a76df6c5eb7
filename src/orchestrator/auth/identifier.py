"""Finding out who calls: by a token where a key for tokens is set, else by what a gateway states (contract §6)."""

import hmac
from typing import Final, Protocol

from starlette.datastructures import Headers

from orchestrator.auth.claims import Claims, invalid_token
from orchestrator.auth.revocations import Revocations
from orchestrator.errors import Problem


class Verifier(Protocol):
    """What turns a token into its claims."""

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token; raises `unauthorized`, or `unavailable` while no key can be had."""
        ...


class Identifier:
    """The step that every request passes before anything else is done for it."""

    def __init__(self, gateway_secret: str | None, tokens: Verifier | None, revocations: Revocations) -> None:
        self._secret = gateway_secret.encode() if gateway_secret else None
        self._tokens = tokens
        self._revocations = revocations

    @property
    def needs_token(self) -> bool:
        """Whether callers prove by a token who they are; else headers state it."""
        return self._tokens is not None

    @property
    def trusts_headers_only(self) -> bool:
        """Whether identity stands in headers alone, since a gateway proves itself by its secret and sets them."""
        return self._secret is not None and self._tokens is None

    def check_gateway(self, headers: Headers) -> None:
        """Raise `unauthorized` without the gateway's secret; compared in constant time."""
        if self._secret is None:
            return
        given = headers.get("x-gateway-secret", "").encode()
        if not hmac.compare_digest(given, self._secret):
            raise Problem("unauthorized", "X-Gateway-Secret is missing or wrong")

    async def authenticate(self, headers: Headers) -> Claims | None:
        """The claims of the request's bearer token; None in header mode. Raises as `verify`."""
        if self._tokens is None:
            return None
        token = bearer_token(headers)
        if token is None:
            raise Problem("unauthorized", "send Authorization: Bearer and a token", reason="missing")
        return await self.verify(token)

    async def verify(self, token: str) -> Claims:
        """The claims of a token that is valid now; raises `unauthorized`, or `unavailable` while no key can be had."""
        if self._tokens is None:
            raise Problem("unauthorized", "token authentication is off here")
        claims = await self._tokens.verify(token)
        self.check_revoked(claims.tenant or "", claims.user, claims.issued)
        return claims

    def check_revoked(self, tenant: str, user: str, issued: float | None) -> None:
        """Raise `unauthorized` for a token whose subject was revoked after it was issued; '' is no tenant."""
        if self._revocations.covers(tenant, user, issued):
            raise invalid_token("the token was revoked", "revoked")


_SCHEME: Final = "bearer"
BLANKS: Final = " \t"
"""What RFC 9110 allows around a value; `strip()` alone would make another text of it."""


def bearer_token(headers: Headers) -> str | None:
    """The token of the `Authorization` header; None without one. Raises `unauthorized` for two, or another scheme."""
    given = headers.getlist("authorization")
    if not given:
        return None
    scheme, _, token = given[0].strip(BLANKS).partition(" ")
    if len(given) > 1 or scheme.lower() != _SCHEME or not token.strip(BLANKS):
        raise Problem("unauthorized", "send one header Authorization: Bearer and a token")
    return token.strip(BLANKS)
