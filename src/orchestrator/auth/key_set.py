"""The document in which an issuer publishes its keys (RFC 7517): what of it can verify tokens."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from joserfc.util import base64_to_int, urlsafe_b64decode

from orchestrator.auth.algorithms import algorithms_of
from orchestrator.auth.keys import Key, kind_of

MOST_KEYS: Final = 64
_LONGEST: Final = 2048  # characters of one number: more than the longest RSA key has

_CURVES: Final[dict[str, EllipticCurve]] = {
    "P-256": SECP256R1(),
    "P-384": SECP384R1(),
    "P-521": SECP521R1(),
}


class _Document(msgspec.Struct):
    keys: list[Any]


class _Jwk(msgspec.Struct):
    """The public members of a key; there is no place for the `k` of a secret."""

    kty: str
    kid: str | None = None
    use: str | None = None
    alg: str | None = None
    key_ops: list[str] | None = None
    crv: str = ""
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""
    d: Any = None


def keys_of(document: bytes, chosen: tuple[str, ...] | None) -> tuple[Key, ...]:
    """The keys that tokens can be verified with; raises ValueError with a sentence where there is none.

    What is not understood, is meant for something else or is no public key is left out.
    """
    try:
        published = msgspec.json.decode(document, type=_Document).keys
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ValueError("the answer is no set of keys") from None
    if len(published) > MOST_KEYS:
        raise ValueError(f"the answer has more than {MOST_KEYS} keys")
    keys = tuple(_usable(published, chosen))
    if not keys:
        raise ValueError("the answer has no key that could verify a token")
    return keys


def _usable(published: list[Any], chosen: tuple[str, ...] | None) -> Iterator[Key]:
    for entry in published:
        try:
            jwk = msgspec.convert(entry, _Jwk)
            kind, material = kind_of(_loaded(jwk))
        except (msgspec.MsgspecError, ValueError, KeyError, UnsupportedAlgorithm):
            continue
        algorithms = algorithms_of(kind, chosen, jwk.alg)
        if algorithms and _verifies(jwk):
            yield Key(material, algorithms, jwk.kid)


def _verifies(jwk: _Jwk) -> bool:
    """Whether it is published for signatures; a private key that is published is nobody's proof any more."""
    return jwk.use in {None, "sig"} and (jwk.key_ops is None or "verify" in jwk.key_ops) and jwk.d is None


def _loaded(jwk: _Jwk) -> object:
    if max(map(len, (jwk.n, jwk.e, jwk.x, jwk.y))) > _LONGEST:
        raise ValueError("too long")
    if jwk.kty == "RSA":
        return RSAPublicNumbers(base64_to_int(jwk.e), base64_to_int(jwk.n)).public_key()
    if jwk.kty == "EC":
        x, y = base64_to_int(jwk.x), base64_to_int(jwk.y)
        return EllipticCurvePublicNumbers(x, y, _CURVES[jwk.crv]).public_key()
    if jwk.kty == "OKP" and jwk.crv == "Ed25519":
        return Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(jwk.x.encode()))
    raise ValueError("not understood")
