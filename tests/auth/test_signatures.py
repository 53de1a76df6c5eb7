"""Whose signature a token may carry: the key decides, the token never does (contract §6)."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwe, jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from tests.auth.verifying import believing, honest, refusal, tokens_with
from tests.security.minting import (
    HS256,
    OTHER_SECRET,
    SECRET,
    Issuer,
    base64url,
    by_hand,
    edwards,
    elliptic,
    encoded,
    rsa,
    shared,
)


def signed(issuer: Issuer, **header: Any) -> str:
    """An honest token of `issuer`, with members added to its header."""
    return jws.serialize_compact(
        {"alg": issuer.algorithm, **header},
        json.dumps(honest()),
        issuer.key,
        registry=jws.JWSRegistry(algorithms=[issuer.algorithm], strict_check_header=False),
    )


@pytest.mark.parametrize("issuer", [HS256, rsa(), elliptic(), edwards()], ids=lambda each: each.algorithm)
async def test_an_honest_token_is_taken(issuer: Issuer) -> None:
    """A token that the key of the settings verifies is taken, whatever kind of key that is."""
    claims = await believing(issuer).verify(issuer.mint(**honest()))

    assert (claims.user, claims.tenant, claims.tier, claims.scopes) == ("ada", "acme", "free", {"chat"})


@pytest.mark.parametrize(
    ("algorithm", "curve"), [("ES384", "P-384"), ("ES512", "P-521")], ids=["ES384", "ES512"]
)
async def test_a_curve_has_its_algorithm(algorithm: str, curve: str) -> None:
    """Each curve verifies its own algorithm without further settings."""
    issuer = Issuer(algorithm, ECKey.generate_key(curve))

    assert (await believing(issuer).verify(issuer.mint(**honest()))).user == "ada"


async def test_the_older_name_of_ed25519_is_taken() -> None:
    """`EdDSA` with an Ed25519 key is the same signature under its older name."""
    token = by_hand({"alg": "EdDSA"}, honest(), None)
    key = edwards().key
    assert isinstance(key, OKPKey)
    assert isinstance(key.private_key, Ed25519PrivateKey)
    signature = key.private_key.sign(token[:-1].encode())

    assert (await believing(edwards()).verify(token + base64url(signature))).user == "ada"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_a_longer_digest_has_to_be_chosen(algorithm: str) -> None:
    """A secret means HS256 alone, unless the settings name another."""
    token = shared(algorithm=algorithm).mint(**honest())

    assert "algorithm" in await refusal(tokens_with(jwt_secret=SECRET), token)
    assert (await tokens_with(jwt_secret=SECRET, jwt_algorithms=algorithm).verify(token)).user == "ada"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_another_rsa_algorithm_has_to_be_chosen(algorithm: str) -> None:
    """An RSA key means RS256 alone, unless the settings name another."""
    token = jwt.encode({"alg": algorithm}, honest(), rsa().key, [algorithm])

    assert "algorithm" in await refusal(believing(rsa()), token)
    assert (await believing(rsa(), jwt_algorithms=algorithm).verify(token)).user == "ada"


async def test_what_is_not_chosen_is_refused() -> None:
    """Algorithms of the settings replace the default, they do not add to it."""
    assert "algorithm" in await refusal(tokens_with(jwt_secret=SECRET, jwt_algorithms="HS512"), signed(HS256))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "null"])
@pytest.mark.parametrize("issuer", [HS256, rsa()], ids=["secret", "public key"])
async def test_an_unsigned_token_is_refused(name: str, issuer: Issuer) -> None:
    """`none` is no algorithm, in whatever case, with a signature or without."""
    unsigned = by_hand({"alg": name}, honest(), None)

    for token in (unsigned, unsigned + "AAAA", by_hand({"alg": name}, honest())):
        assert await refusal(believing(issuer), token)


@pytest.mark.parametrize("issuer", [rsa(), elliptic(), edwards()], ids=lambda each: each.algorithm)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_public_key_is_no_secret(issuer: Issuer, algorithm: str) -> None:
    """An HMAC made with the text of the public key proves nothing, however the text is written."""
    digest = f"sha{algorithm[2:]}"
    pem = issuer.public_pem
    for secret in (pem, pem.strip(), pem.replace("\n", "\\n"), json.dumps(issuer.public_jwk)):
        body = f"{encoded({'alg': algorithm})}.{encoded(honest())}"
        signature = hmac.digest(secret.encode(), body.encode(), digest)

        assert "algorithm" in await refusal(believing(issuer), f"{body}.{base64url(signature)}")


async def test_a_signature_of_a_public_key_is_no_proof_of_a_secret() -> None:
    """Where the key is a secret, a token of somebody's RSA key is refused."""
    assert "algorithm" in await refusal(believing(HS256), signed(rsa()))


async def test_another_key_of_the_same_kind_proves_nothing() -> None:
    """Only the very key of the settings counts."""
    stranger = Issuer("RS256", RSAKey.generate_key(2048))

    assert "signature" in await refusal(believing(rsa()), signed(stranger))
    assert "signature" in await refusal(believing(HS256), signed(shared(OTHER_SECRET)))


async def test_a_changed_token_is_refused() -> None:
    """Whatever part is changed, or taken from another token, the signature does not fit any more."""
    header, payload, signature = signed(HS256).split(".")
    more = encoded(honest(scope="admin"))
    typed = encoded({"alg": "HS256", "typ": "JWT", "x": 1})

    for token in (
        f"{header}.{more}.{signature}",
        f"{typed}.{payload}.{signature}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{signature}AAAA",
        f"{header}.{payload}.",
    ):
        assert await refusal(believing(HS256), token)


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"])
@pytest.mark.parametrize("value", [None, [], {}, "https://evil.example/keys", ["exp"], True])
async def test_a_header_that_brings_its_own_rules_is_refused(member: str, value: object) -> None:
    """A token that brings or points to a key, or wants to be read by an extension, is refused though it is signed."""
    assert await refusal(believing(HS256), by_hand({"alg": "HS256", member: value}, honest()))


async def test_a_key_inside_the_token_is_not_used() -> None:
    """A token that is signed with the very key that it carries proves nothing."""
    stranger = Issuer("RS256", RSAKey.generate_key(2048))

    for token in (
        signed(stranger, jwk=stranger.public_jwk),
        signed(stranger, kid="own", jwk={**stranger.public_jwk, "kid": "own"}),
    ):
        assert await refusal(believing(rsa()), token)


async def test_an_unencoded_payload_is_refused() -> None:
    """The extension of RFC 7797, which a library may know, is none of ours."""
    head = encoded({"alg": "HS256", "b64": False, "crit": ["b64"]})
    body = f"{head}.{json.dumps(honest())}".encode()
    signature = base64url(hmac.digest(SECRET.encode(), body, hashlib.sha256))

    assert await refusal(believing(HS256), f"{body.decode()}.{signature}")


async def test_an_unknown_member_is_no_fault() -> None:
    """A header may say more than this service reads (RFC 7515 §4)."""
    token = signed(HS256, kid="2024-01", x5t="AQID", nonce="n", made_by="somebody")

    assert (await believing(HS256).verify(token)).user == "ada"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "JOSE"])
async def test_a_type_of_access_tokens_is_taken(typ: str) -> None:
    """A token may say that it is a JWT, or an access token."""
    assert (await believing(HS256).verify(signed(HS256, typ=typ))).user == "ada"


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "application/secevent+jwt", "KB+JWT"])
async def test_a_token_for_something_else_is_refused(typ: str) -> None:
    """What an issuer signed for another purpose, and says so, opens nothing here (RFC 8725 §3.11)."""
    assert "type" in await refusal(believing(HS256), signed(HS256, typ=typ))


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "/dev/null", "' OR 1=1 --", "|id", "a" * 4000, "", "\x00", "ключ", "%00"]
)
async def test_the_name_of_a_key_leads_nowhere(kid: str) -> None:
    """Where the settings have one key it is that one, whatever a token calls it; a name is never a path."""
    honest_one = by_hand({"alg": "HS256", "kid": kid}, honest())
    empty_key = by_hand({"alg": "HS256", "kid": kid}, honest(), b"")

    assert (await believing(HS256).verify(honest_one)).user == "ada"
    assert await refusal(believing(HS256), empty_key)


async def test_an_encrypted_token_is_refused() -> None:
    """A JWE has five parts and no signature that could be judged."""
    key = OctKey.generate_key(256)
    token = jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, json.dumps(honest()), key)

    assert await refusal(believing(HS256), token)


async def test_a_long_token_is_refused_unread() -> None:
    """More than 8 KiB is refused before anything is parsed; up to there all is well."""
    padded = by_hand({"alg": "HS256"}, honest(x="y" * 5900))
    longer = by_hand({"alg": "HS256"}, honest(x="y" * 6500))

    assert len(padded) < 8192 < len(longer)
    assert (await believing(HS256).verify(padded)).user == "ada"
    for token in (longer, "a" * 1_000_000, "." * 8193):
        assert "longer than 8192" in await refusal(believing(HS256), token)
