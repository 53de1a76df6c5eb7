"""Tokens of our own making: for development, where a shared secret is the key."""

from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from orchestrator.auth.algorithms import OF_KIND
from orchestrator.auth.claims import Claims, claims_of, invalid_token
from orchestrator.settings import Settings


def sign(claims: Claims, settings: Settings) -> str:
    """A token that says `claims`, by the secret of the settings; raises `unauthorized` for what they would not take."""
    if settings.jwt_secret is None:
        raise ValueError("there is no shared secret to sign with")
    secret = settings.jwt_secret.encode()
    algorithm = (settings.jwt_algorithms or OF_KIND["secret"])[0]
    payload = _payload_of(claims, settings)
    if claims_of(payload, settings.jwt_claims) != claims:
        raise invalid_token("two claims have the same name by the settings (ORCHESTRATOR_JWT_CLAIM_…)")
    return jwt.encode({"alg": algorithm}, payload, OctKey(secret, secret), [algorithm])


def _payload_of(claims: Claims, settings: Settings) -> dict[str, Any]:
    """What a token of these claims says, by the names of the settings."""
    said = {
        "user": claims.user,
        "tenant": claims.tenant,
        "tier": claims.tier,
        "session": claims.session,
        "agents": None if claims.agents is None else sorted(claims.agents),
        "scope": " ".join(sorted(claims.scopes)),
    }
    payload = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        **{settings.jwt_claims[name]: value for name, value in said.items()},
        "exp": claims.expires,
        "iat": claims.issued,
    }
    return {name: value for name, value in payload.items() if value is not None}
