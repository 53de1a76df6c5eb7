"""Tokens that nobody who may do so has signed (contract §6; RFC 8725)."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from tests.contract.client import Tenant
from tests.contract.conftest import Connect, StartService
from tests.security.entrances import Entrances
from tests.security.minting import (
    HS256,
    OTHER_SECRET,
    SECRET,
    Issuer,
    base64url,
    by_hand,
    claims_of,
    edwards,
    elliptic,
    encoded,
    rsa,
    shared,
)
from tests.servers import free_port

Forgery = Callable[[Tenant], str]

HONEST: Final = {"alg": "HS256", "typ": "JWT"}
ASYMMETRIC: Final[dict[str, Callable[[], Issuer]]] = {"rsa": rsa, "elliptic": elliptic, "edwards": edwards}


def unsigned(algorithm: object) -> Forgery:
    """A token that says it needs no signature, and has none."""
    return lambda tenant: by_hand({"alg": algorithm}, claims_of(tenant), None)


def tampered(tenant: Tenant) -> str:
    """Somebody's own token with the claims of another."""
    head, _, signature = HS256.of(tenant, "eve").split(".")
    return f"{head}.{encoded(claims_of(tenant, 'ada'))}.{signature}"


def from_another_header(tenant: Tenant) -> str:
    """An honest signature under a header that it was not made for."""
    _, payload, signature = HS256.of(tenant).split(".")
    return f"{encoded({**HONEST, 'kid': 'x'})}.{payload}.{signature}"


def embedded(tenant: Tenant, **header: Any) -> str:
    """Signed by the forger's own RSA key, which the token itself brings along."""
    return rsa().mint(header, **claims_of(tenant))


FORGERIES: Final[dict[str, Forgery]] = {
    **{f"alg {name}": unsigned(name) for name in ("none", "None", "NONE", "nOnE", "", None, 0, ["HS256"])},
    "alg none with a signature": lambda tenant: by_hand({"alg": "none"}, claims_of(tenant)),
    "alg missing": lambda tenant: by_hand({"typ": "JWT"}, claims_of(tenant)),
    "no signature": lambda tenant: by_hand(HONEST, claims_of(tenant), None),
    "another secret": lambda tenant: shared(OTHER_SECRET).of(tenant),
    "an empty secret": lambda tenant: by_hand(HONEST, claims_of(tenant), b""),
    "a cut signature": lambda tenant: HS256.of(tenant)[:-8],
    "a longer signature": lambda tenant: HS256.of(tenant) + "AAAA",
    "another payload": tampered,
    "another header": from_another_header,
    "HS384 with the right secret": lambda tenant: shared(SECRET, "HS384").of(tenant),
    "HS512 with the right secret": lambda tenant: shared(SECRET, "HS512").of(tenant),
    "hs256 in small letters": lambda tenant: by_hand({"alg": "hs256"}, claims_of(tenant)),
    "an algorithm that was not configured": lambda tenant: elliptic().of(tenant),
    "an embedded key": lambda tenant: embedded(tenant, jwk=rsa().public_jwk),
    "an embedded shared key": lambda tenant: by_hand(
        {**HONEST, "jwk": {"kty": "oct", "k": base64url(OTHER_SECRET.encode())}}, claims_of(tenant), OTHER_SECRET
    ),
    "an unknown critical extension": lambda tenant: by_hand(
        {**HONEST, "crit": ["urn:example:x"], "urn:example:x": 1}, claims_of(tenant)
    ),
    "a critical extension that is not there": lambda tenant: by_hand(
        {**HONEST, "crit": ["urn:example:x"]}, claims_of(tenant)
    ),
    "an empty list of critical extensions": lambda tenant: by_hand({**HONEST, "crit": []}, claims_of(tenant)),
    "a payload that is not encoded": lambda tenant: by_hand(
        {**HONEST, "crit": ["b64"], "b64": False}, claims_of(tenant)
    ),
    "a header that is no object": lambda tenant: by_hand('["HS256"]', claims_of(tenant)),
    "a header that is no JSON": lambda tenant: by_hand("{alg}", claims_of(tenant)),
    "a header with two algorithms": lambda tenant: by_hand('{"alg":"HS256","alg":"none"}', claims_of(tenant), None),
    "one part": lambda tenant: encoded(claims_of(tenant)),
    "two parts": lambda tenant: HS256.of(tenant).rpartition(".")[0],
    "four parts": lambda tenant: f"{HS256.of(tenant)}.{encoded({})}",
    "five parts, as an encrypted one": lambda _: ".".join([encoded({"alg": "dir", "enc": "A256GCM"})] * 5),
    "dots alone": lambda _: "..",
    "a serialisation as JSON": lambda tenant: json.dumps(
        dict(zip(("protected", "payload", "signature"), HS256.of(tenant).split("."), strict=True))
    ),
    "base64 with another alphabet": lambda tenant: base64.b64encode(HS256.of(tenant).encode()).decode(),
    "a token within a token": lambda tenant: by_hand({**HONEST, "cty": "JWT"}, HS256.of(tenant)),
    "letters that look alike": lambda tenant: HS256.of(tenant).replace("e", "\N{CYRILLIC SMALL LETTER IE}"),
}  # fmt: skip

KIDS: Final[dict[str, object]] = {
    "a file": "../../../../../../etc/passwd",
    "an empty file": "/dev/null",
    "an address": "http://127.0.0.1/keys",
    "SQL": "x' UNION SELECT 'secret' --",
    "a shell": "key; touch /tmp/planted",
    "two lines": "key\r\nX-Injected: 1",
    "NUL": "key\0.pem",
    "long": "k" * 4_000,
    "a number": 7,
    "a list": ["key"],
    "an object": {"kid": "key"},
    "nothing": None,
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_token_opens_nothing(entrances: Entrances, tenant: Tenant, forgery: Forgery) -> None:
    """401 and 4401 at every entrance, though every claim is right."""
    await entrances.refuse(forgery(tenant))


@pytest.mark.parametrize("kid", KIDS.values(), ids=KIDS)
@pytest.mark.parametrize("secret", ["", "secret", OTHER_SECRET])
async def test_a_key_id_finds_no_key(entrances: Entrances, tenant: Tenant, kid: object, secret: str) -> None:
    """`kid` leads to no file, no row and no address that a forger knows the content of."""
    await entrances.refuse(by_hand({**HONEST, "kid": kid}, claims_of(tenant), secret))


@pytest.mark.parametrize("name", ["jku", "x5u"])
async def test_a_token_sends_the_service_nowhere(entrances: Entrances, tenant: Tenant, name: str) -> None:
    """An address of keys in a token is never asked: neither a foreign key nor a request forged on our behalf."""
    asked: list[str] = []

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(str(writer.get_extra_info("peername")))

    port = free_port()
    async with await asyncio.start_server(connected, "127.0.0.1", port):
        await entrances.refuse(embedded(tenant, **{name: f"http://127.0.0.1:{port}/keys", "kid": "mine"}))
    assert asked == []


async def test_a_token_brings_no_certificate(entrances: Entrances, tenant: Tenant) -> None:
    """`x5c` proves nothing."""
    certificate = base64.b64encode(b"a certificate of one's own").decode()
    await entrances.refuse(embedded(tenant, x5c=[certificate]))


@pytest.mark.parametrize("issuer", ASYMMETRIC.values(), ids=ASYMMETRIC)
async def test_a_public_key_is_no_shared_secret(
    issuer: Callable[[], Issuer], service_with: StartService, connect: Connect, tenant: Tenant
) -> None:
    """HS256 with the public key as its secret, in each way that it can be written down, opens nothing."""
    honest = issuer()
    server = service_with(**honest.settings)
    entrances = Entrances(server, connect(server), tenant)
    await entrances.admit(honest.of(tenant))
    pem = honest.public_pem
    body = "".join(pem.strip().splitlines()[1:-1])
    jwk = json.dumps(honest.public_jwk)
    for secret in (pem, pem.strip(), pem.replace("\n", "\r\n"), body, base64.b64decode(body), jwk):
        for algorithm in ("HS256", honest.algorithm):
            await entrances.refuse(by_hand({"alg": algorithm}, claims_of(tenant), secret))


@pytest.mark.parametrize("issuer", ASYMMETRIC.values(), ids=ASYMMETRIC)
async def test_one_key_has_one_kind_of_algorithm(
    issuer: Callable[[], Issuer], service_with: StartService, connect: Connect, tenant: Tenant
) -> None:
    """A server with a public key takes no other key's tokens, no shared secret's and no unsigned ones."""
    server = service_with(**issuer().settings)
    entrances = Entrances(server, connect(server), tenant)
    for other in {"rsa", "elliptic", "edwards"} - {
        name for name, made in ASYMMETRIC.items() if made is issuer
    }:
        await entrances.refuse(ASYMMETRIC[other]().of(tenant))
    await entrances.refuse(HS256.of(tenant))
    await entrances.refuse(by_hand({"alg": "none"}, claims_of(tenant), None))
    await entrances.refuse(by_hand({"alg": issuer().algorithm}, claims_of(tenant), None))


async def test_an_honest_token_opens_everything(entrances: Entrances, tenant: Tenant) -> None:
    """So that the refusals of this file say something."""
    await entrances.admit(HS256.of(tenant))
    await entrances.admit(by_hand(HONEST, claims_of(tenant)))
