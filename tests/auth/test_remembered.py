"""What a token was found to mean is remembered; what may change is judged each time."""

import time

import pytest
from joserfc.jwk import ECKey
from tests.auth.publisher import Publisher, fetching, public
from tests.auth.verifying import honest, log_into, refusal, tokens_with
from tests.security.minting import SECRET, Issuer, base64url, by_hand, elliptic

from orchestrator.auth import tokens as tokens_module
from orchestrator.auth.jwks import Pace
from orchestrator.auth.keys import FixedKey, secret_key
from orchestrator.auth.signatures import FORMS_MAX, Signatures
from orchestrator.auth.tokens import Tokens
from orchestrator.settings import Settings


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = time.time()

    def now(self) -> float:
        return self.seconds


def clocked(clock: Clock) -> Tokens:
    """A verifier of the shared secret, by this clock."""
    settings = Settings.from_environment({"ORCHESTRATOR_JWT_SECRET": SECRET})
    tokens = Tokens.from_settings(settings, log_into([]), now=clock.now)
    assert tokens is not None
    return tokens


async def test_a_known_token_ends_when_it_says() -> None:
    """A token that was taken before is refused from its end on."""
    clock = Clock()
    tokens, token = clocked(clock), by_hand({"alg": "HS256"}, honest())
    assert await tokens.verify(token) == await tokens.verify(token)

    clock.seconds += 3600

    assert "expired" in await refusal(tokens, token)


async def test_a_known_token_ends_with_its_key() -> None:
    """A token that was taken before is refused once its issuer publishes another key by that name."""
    publisher = Publisher()
    publisher.publish(public(elliptic(), "a"))
    pace = Pace(every=600, at_least=0)
    async with publisher.serving(), fetching(publisher.url, pace=pace) as tokens:
        token = elliptic().mint({"kid": "a"}, **honest())
        assert (await tokens.verify(token)).user == "ada"

        publisher.publish(public(Issuer("ES256", ECKey.generate_key("P-256")), "a"))
        assert await refusal(tokens, elliptic().mint({"kid": "b"}, **honest()))  # has the keys fetched anew

        assert await refusal(tokens, token)


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not seen for longest is forgotten, and verified anew when it comes again."""
    monkeypatch.setattr(tokens_module, "REMEMBERED_MAX", 2)
    tokens = tokens_with(jwt_secret=SECRET)
    for user in ("ada", "bob", "eve", "ada"):
        assert (await tokens.verify(by_hand({"alg": "HS256"}, honest(sub=user)))).user == user


def spoiled(token: str) -> list[str]:
    """The same header with something wrong behind it."""
    header, payload, signature = token.split(".")
    other = base64url(b'{"sub":"eve"}')
    return [
        f"{header}.{payload}.{signature[:-2]}AA",
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.",
        f"{header}..{signature}",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload}!.{signature}",
        header,
    ]


async def test_a_known_header_vouches_for_nothing() -> None:
    """Behind a header that was read before all is looked at as behind a new one, and refused in the same words."""
    tokens, token = tokens_with(jwt_secret=SECRET), by_hand({"alg": "HS256"}, honest())
    before = [await refusal(tokens, bad) for bad in spoiled(token)]
    assert (await tokens.verify(token)).user == "ada"
    assert (await tokens.verify(by_hand({"alg": "HS256"}, honest(sub="bob")))).user == "bob"

    assert [await refusal(tokens, bad) for bad in spoiled(token)] == before


async def test_known_headers_are_bounded() -> None:
    """An issuer that writes something new into each header fills no memory."""
    signatures = Signatures(FixedKey(secret_key(SECRET, None)))
    for number in range(3 * FORMS_MAX):
        await signatures.open(by_hand({"alg": "HS256", "nonce": number}, honest()))
        assert len(signatures.forms) <= FORMS_MAX
