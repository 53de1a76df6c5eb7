"""Which published keys verify tokens, and with which algorithms."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey
from tests.auth.publisher import public
from tests.security.minting import base64url, edwards, elliptic, rsa

from orchestrator.auth.key_set import keys_of

RSA: Final = public(rsa(), "a")

MEMBERS: Final = st.sampled_from(["keys", "kty", "n", "x", "crv", "e"])
SHAPED: Final = st.recursive(
    st.none() | st.text() | st.integers() | st.just("RSA"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
)


def usable(*keys: object, chosen: tuple[str, ...] | None = None) -> list[tuple[str | None, set[str]]]:
    """Name and algorithms of the keys that are left, with a good one at the end that keeps the set from being empty."""
    found = keys_of(json.dumps({"keys": [*keys, public(edwards(), "last")]}).encode(), chosen)
    return [(key.kid, set(key.algorithms)) for key in found if key.kid != "last"]


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (RSA, {"RS256"}),
        (RSA | {"alg": "RS256", "use": "sig"}, {"RS256"}),
        (RSA | {"alg": "PS512"}, {"PS512"}),
        (RSA | {"key_ops": ["verify"]}, {"RS256"}),
        (RSA | {"x5c": ["MII"], "x5t": 7, "ext": True, "iat": 1}, {"RS256"}),
        (public(elliptic(), "a"), {"ES256"}),
        ({**ECKey.generate_key("P-384").as_dict(private=False), "kid": "a"}, {"ES384"}),
        ({**ECKey.generate_key("P-521").as_dict(private=False), "kid": "a"}, {"ES512"}),
        (public(edwards(), "a"), {"Ed25519", "EdDSA"}),
        (public(edwards(), "a", alg="EdDSA"), {"Ed25519", "EdDSA"}),
    ],
)
def test_a_public_key_has_its_algorithm(key: Mapping[str, Any], algorithms: set[str]) -> None:
    """The key's own `alg` counts where it names one, else the default of its kind; what else it says is ignored."""
    assert usable(key) == [("a", algorithms)]


def test_the_settings_narrow_the_algorithms() -> None:
    """Where algorithms are chosen a key keeps those of them that are its own, and is left out without any."""
    assert usable(RSA, chosen=("RS512", "PS256", "Ed25519")) == [("a", {"RS512", "PS256"})]
    assert usable(RSA | {"alg": "RS256"}, chosen=("RS512", "Ed25519")) == []


def test_a_key_may_have_no_name() -> None:
    """A key without `kid` is for tokens that name none."""
    assert usable(public(elliptic())) == [(None, {"ES256"})]


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "kid": "a", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        {**OctKey.generate_key(256).as_dict(private=True), "kid": "a", "alg": "HS256"},
        RSA | {"kty": "oct"},
        RSA | {"alg": "HS256"},
        RSA | {"alg": "none"},
        RSA | {"alg": "RSA-OAEP"},
        RSA | {"alg": 7},
        RSA | {"use": "enc"},
        RSA | {"key_ops": ["encrypt"]},
        RSA | {"key_ops": "verify"},
        RSA | {"kid": 7},
        RSA | {"n": ""},
        RSA | {"n": "AQAB"},
        RSA | {"n": "not base64!"},
        RSA | {"n": None},
        RSA | {"n": "_" * 100_000},
        RSA | {"e": "Ag"},
        RSA | {"e": ""},
        RSA | {"e": RSA["n"]},
        {"kty": "RSA", "kid": "a"},
        {**rsa().key.as_dict(private=True), "kid": "a"},
        RSA | {"n": base64url((2**8255 + 1).to_bytes(1032, "big"))},
        public(elliptic(), "a", crv="P-384"),
        public(elliptic(), "a", crv="secp256k1"),
        public(elliptic(), "a", crv=""),
        public(elliptic(), "a", x="AQ"),
        public(elliptic(), "a", alg="ES384"),
        {**ECKey.generate_key("secp256k1").as_dict(private=False), "kid": "a"},
        public(edwards(), "a", x="AQ"),
        public(edwards(), "a", crv="Ed448"),
        {**OKPKey.generate_key("X25519").as_dict(private=False), "kid": "a"},
        {**OKPKey.generate_key("Ed448").as_dict(private=False), "kid": "a"},
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "a", "pub": "AQ"},
        {"kid": "a"},
        {},
        [],
        "a",
        None,
        7,
    ],
)  # fmt: skip
def test_what_cannot_verify_a_token_is_left_out(key: object) -> None:
    """Secrets, private, weak, broken and unknown keys are left out, and keys for something else; the others stay."""
    assert usable(key) == []


@pytest.mark.parametrize("bits", [512, 1024, 2047])
@pytest.mark.parametrize("length", [256, 300])
def test_a_weak_rsa_key_is_left_out(bits: int, length: int) -> None:
    """An RSA key of less than 2048 bits is left out, whatever zeros it begins with."""
    weak = (2 ** (bits - 1) + 1).to_bytes(length, "big")

    assert usable(RSA | {"n": base64url(weak)}) == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100) | SHAPED.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_sentence_or_keys(document: bytes) -> None:
    """Whatever an issuer answers gives keys, or one sentence that says why not."""
    try:
        keys = keys_of(document, None)
    except ValueError as error:
        keys = str(error).startswith("the answer ")

    assert keys
