"""Tokens as an honest issuer makes them, and as somebody else would like to (contract §6)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from tests.contract.client import Tenant

SECRET: Final = "planted-signing-secret-of-at-least-32-bytes"
OTHER_SECRET: Final = "planted-secret-that-belongs-to-somebody-else"

Claims = Mapping[str, Any]


class Issuer(NamedTuple):
    """Who signs tokens: one algorithm and its key."""

    algorithm: str
    key: Key

    def mint(self, header: Mapping[str, Any] | None = None, /, **claims: Any) -> str:
        """A signed token; a claim of None is left out, `exp` is in five minutes unless given."""
        given = {"exp": int(time.time()) + 300, **claims}
        kept = {name: value for name, value in given.items() if value is not None}
        head = {"alg": self.algorithm, **(header or {})}
        return jwt.encode(head, kept, self.key, algorithms=[self.algorithm])

    def of(self, tenant: Tenant, user: str = "ada", /, **claims: Any) -> str:
        """A token with every required claim for a user of `tenant`; others are added, replaced or (None) left out."""
        return self.mint(**{"sub": user, "tenant_id": tenant.id, "tier": tenant.tier, **claims})

    @property
    def public_pem(self) -> str:
        """The public half, as `ORCHESTRATOR_JWT_PUBLIC_KEY` takes it."""
        assert isinstance(self.key, RSAKey | ECKey | OKPKey)
        return self.key.as_pem(private=False).decode()

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public half, as a JWKS lists it."""
        return dict(self.key.as_dict(private=False))

    @property
    def settings(self) -> dict[str, str]:
        """What a server is told that believes this issuer, by `service_with`; the other keys are unset."""
        unset = {"jwt_secret": "", "jwt_public_key": ""}
        if isinstance(self.key, OctKey):
            return {**unset, "jwt_secret": self.key.raw_value.decode()}
        return {**unset, "jwt_public_key": self.public_pem}


def shared(secret: str = SECRET, algorithm: str = "HS256") -> Issuer:
    """An issuer with a shared secret."""
    return Issuer(algorithm, OctKey.import_key(secret))


HS256: Final = shared()
"""Whom the servers of these tests believe, unless a test says otherwise."""


@cache
def rsa() -> Issuer:
    """An issuer that signs with RSA."""
    return Issuer("RS256", RSAKey.generate_key(2048))


@cache
def elliptic() -> Issuer:
    """An issuer that signs on P-256."""
    return Issuer("ES256", ECKey.generate_key("P-256"))


@cache
def edwards() -> Issuer:
    """An issuer that signs with Ed25519."""
    return Issuer("Ed25519", OKPKey.generate_key("Ed25519"))


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def claims_of(tenant: Tenant, user: str = "ada", **claims: Any) -> dict[str, Any]:
    """What an honest token of a user says, as plain data for those that are made by hand."""
    honest = {"sub": user, "tenant_id": tenant.id, "tier": tenant.tier, "exp": int(time.time()) + 300}
    return {**honest, **claims}


def by_hand(header: object, payload: object, secret: str | bytes | None = SECRET) -> str:
    """A token of any header and payload (text stays as it is), signed with HMAC-SHA256, or not at all."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    if secret is None:
        return f"{signed}."
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{signed}.{base64url(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def encoded(part: object) -> str:
    """Header or payload as it stands in a token."""
    text = part if isinstance(part, str) else json.dumps(part, separators=(",", ":"))
    return base64url(text.encode())


def base64url(data: bytes) -> str:
    """Base64 with the URL's alphabet and without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
