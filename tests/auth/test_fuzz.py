"""Anything whatsoever in a token ends in 401, or in claims that hold (contract §6)."""

import asyncio
import hashlib
import hmac
import json
from typing import Any, Final, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth.verifying import honest, tokens_with
from tests.security.minting import HS256, SECRET, base64url, by_hand, edwards, elliptic, encoded, rsa

from orchestrator.auth.claims import SCOPES, Claims
from orchestrator.auth.tokens import Tokens
from orchestrator.errors import Problem
from orchestrator.protocol.identifiers import is_valid_id, is_valid_user_id
from orchestrator.protocol.tiers import TIERS

MEMBERS: Final = st.sampled_from(
    ["alg", "kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5u", "x5t", "enc", "zip", "p2c", "epk"]
)
CLAIMS: Final = st.sampled_from(
    ["sub", "exp", "nbf", "iat", "iss", "aud", "tenant_id", "tier", "session_id", "agents", "scope", "jti"]
)
NUMBERS: Final = st.integers() | st.floats() | st.just(10**400)
NEAR: Final = st.sampled_from(["HS256", "none", "RS256", "EdDSA", "free", "acme", "admin", "b64", "exp"])
JSON: Final = st.recursive(
    st.none() | st.booleans() | NUMBERS | NEAR | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NEAR | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
OTHERS: Final = [tokens_with(**issuer.settings) for issuer in (rsa(), elliptic(), edwards())]
OPEN: Final = tokens_with(jwt_secret=SECRET)


def judged(token: str) -> Claims | None:
    """What the verifier of the shared secret makes of it; None for a 401. Those of other keys refuse it always."""
    for other in OTHERS:
        assert verdict(other, token) is None
    return verdict(OPEN, token)


def verdict(verifier: Tokens, token: str) -> Claims | None:
    """Claims, or None for a 401; everything else is raised."""
    try:
        return asyncio.run(verifier.verify(token))
    except Problem as problem:
        if problem.code != "unauthorized":
            raise
        return None


def over(honest_part: dict[str, Any], drawn: Any) -> Any:
    """What was drawn, on top of what makes a token a good one."""
    return honest_part | cast("dict[str, Any]", drawn) if isinstance(drawn, dict) else drawn


def assert_sound(claims: Claims) -> None:
    """Claims that were taken are what the rest of the service builds upon."""
    assert is_valid_user_id(claims.user)
    assert claims.scopes
    assert claims.scopes <= set(SCOPES)
    assert 0 <= claims.expires < 1e12
    assert claims.tier in {None, *TIERS}
    assert all(map(is_valid_id, claims.agents or ()))
    assert all(is_valid_id(each) for each in (claims.tenant, claims.session) if each is not None)
    assert claims.scopes & {"admin", "metrics"} or (claims.tenant and claims.tier)


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(st.binary(max_size=60), max_size=6).map(lambda parts: ".".join(map(base64url, parts)))
)
def test_any_text_is_refused(text: str) -> None:
    """Text that nobody signed is refused, and never breaks anything."""
    assert judged(text) is None


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(MEMBERS | st.text(max_size=5), JSON, max_size=5) | JSON, st.booleans())
def test_any_header_is_refused_or_harmless(header: Any, keeps: bool) -> None:
    """Whatever a header says, the token is refused or it is the one that was signed."""
    claims = judged(by_hand(json.dumps(over({"alg": "HS256"}, header) if keeps else header), honest()))

    assert claims is None or (claims.user, claims.scopes) == ("ada", {"chat"})


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(CLAIMS, JSON, max_size=6) | JSON, st.booleans())
def test_any_payload_is_refused_or_sound(payload: Any, keeps: bool) -> None:
    """Whatever is signed, it is refused, or what comes of it is well-formed."""
    claims = judged(by_hand({"alg": "HS256"}, json.dumps(over(honest(), payload) if keeps else payload)))

    if claims is not None:
        assert_sound(claims)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80))
def test_any_signed_bytes_are_refused(payload: bytes) -> None:
    """Bytes that are no JSON, or no UTF-8, are refused though they are signed."""
    body = f"{encoded({'alg': 'HS256'})}.{base64url(payload)}"
    signature = hmac.digest(SECRET.encode(), body.encode(), hashlib.sha256)

    assert judged(f"{body}.{base64url(signature)}") is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_changed_letter_goes_unnoticed(data: st.DataObject) -> None:
    """A token with one character changed is refused."""
    token = HS256.mint(**honest(exp=4_000_000_000))
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(exclude_characters=token[place]))

    assert judged(token[:place] + letter + token[place + 1 :]) is None
