"""What a token was found to mean is remembered; what may change is judged each time."""

import time

import pytest
from joserfc.jwk import ECKey
from tests.auth.publisher import Publisher, fetching, public
from tests.auth.verifying import honest, log_into, refusal, tokens_with
from tests.security.minting import SECRET, Issuer, by_hand, elliptic

from orchestrator.auth import tokens as tokens_module
from orchestrator.auth.jwks import Pace
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
