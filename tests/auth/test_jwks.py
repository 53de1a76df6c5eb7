"""Keys that an issuer publishes: fetched, rotated, and never more often than they have to be."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from joserfc.jwk import ECKey
from tests.auth.publisher import CALM, Publisher, fetching, public
from tests.auth.verifying import honest, refusal, tokens_with
from tests.security.minting import Issuer, by_hand, edwards, elliptic, rsa
from tests.servers import wait_until

from orchestrator.auth.jwks import Pace
from orchestrator.auth.tokens import Tokens
from orchestrator.errors import Problem


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    """An issuer that publishes the keys `a` (RSA), `b` (P-256) and `c` (Ed25519)."""
    publisher = Publisher()
    publisher.publish(public(rsa(), "a"), public(elliptic(), "b"), public(edwards(), "c"))
    async with publisher.serving():
        yield publisher


def token(issuer: Issuer, kid: str | None = None) -> str:
    """An honest token that names its key."""
    return issuer.mint({} if kid is None else {"kid": kid}, **honest())


async def takes(tokens: Tokens, made: str) -> bool:
    """Whether a token is taken."""
    try:
        await tokens.verify(made)
    except Problem:
        return False
    return True


async def test_the_published_keys_verify(publisher: Publisher) -> None:
    """A token is verified with the key that it names; the keys are fetched once for all of them."""
    async with fetching(publisher.url) as tokens:
        for issuer, kid in ((rsa(), "a"), (elliptic(), "b"), (edwards(), "c")):
            assert (await tokens.verify(token(issuer, kid))).user == "ada"

    assert publisher.asked == 1


async def test_the_settings_name_the_issuer(publisher: Publisher) -> None:
    """`ORCHESTRATOR_JWT_JWKS_URL` is where the keys are fetched."""
    tokens = tokens_with(jwt_jwks_url=publisher.url)
    await tokens.start()
    try:
        assert (await tokens.verify(token(rsa(), "a"))).user == "ada"
    finally:
        await tokens.close()


@pytest.mark.parametrize("kid", ["b", "nobody", "", "../a", "A"])
async def test_a_name_of_another_key_is_refused(publisher: Publisher, kid: str) -> None:
    """A token that names another key than its own is refused, though its own is published."""
    async with fetching(publisher.url) as tokens:
        assert await refusal(tokens, token(rsa(), kid))


async def test_a_published_key_is_no_secret(publisher: Publisher) -> None:
    """HMAC is never an algorithm of a published key, nor is `none`."""
    async with fetching(publisher.url) as tokens:
        for algorithm in ("HS256", "none"):
            for secret in (rsa().public_pem, None):
                made = by_hand({"alg": algorithm, "kid": "a"}, honest(), secret)
                assert await refusal(tokens, made)


async def test_without_a_name_there_must_be_one_choice(publisher: Publisher) -> None:
    """A token without `kid` is taken where exactly one key fits its algorithm."""
    async with fetching(publisher.url) as tokens:
        assert (await tokens.verify(token(elliptic()))).user == "ada"

    publisher.publish(public(elliptic(), "b"), public(Issuer("ES256", ECKey.generate_key("P-256")), "d"))
    async with fetching(publisher.url) as tokens:
        assert await refusal(tokens, token(elliptic()))
        assert (await tokens.verify(token(elliptic(), "b"))).user == "ada"


async def test_a_new_key_is_fetched_when_it_is_used(publisher: Publisher) -> None:
    """A token that names a key which is not known yet is taken as soon as the issuer publishes it."""
    newer = Issuer("ES256", ECKey.generate_key("P-256"))
    async with fetching(publisher.url, pace=Pace(every=600, at_least=0)) as tokens:
        assert await refusal(tokens, token(newer, "new"))
        publisher.publish(public(newer, "new"))

        assert (await tokens.verify(token(newer, "new"))).user == "ada"
        assert await refusal(tokens, token(rsa(), "a"))


async def test_unknown_names_do_not_flood_the_issuer(publisher: Publisher) -> None:
    """However many tokens name keys that nobody knows, the issuer is asked once in a while."""
    async with fetching(publisher.url, pace=CALM) as tokens:
        made = [token(rsa(), f"invented-{number}") for number in range(50)]
        assert not any(await asyncio.gather(*(takes(tokens, each) for each in made)))
        assert not any([await takes(tokens, each) for each in made])

    assert publisher.asked == 1


async def test_many_who_wait_ask_once(publisher: Publisher) -> None:
    """Verifications that need the same fetch share it."""
    newer = Issuer("ES256", ECKey.generate_key("P-256"))
    async with fetching(publisher.url, pace=Pace(every=600, at_least=0)) as tokens:
        assert await takes(tokens, token(rsa(), "a"))
        publisher.publish(public(newer, "new"))
        publisher.gate.clear()
        waiting = [asyncio.create_task(takes(tokens, token(newer, "new"))) for _ in range(20)]
        await wait_until(lambda: publisher.asked == 2)
        publisher.gate.set()

        assert all(await asyncio.gather(*waiting))
        assert publisher.asked == 2


async def test_a_name_that_came_too_early_is_asked_for_later(publisher: Publisher) -> None:
    """Within the least interval a new name is refused at once; the keys are fetched when it is over."""
    newer = Issuer("ES256", ECKey.generate_key("P-256"))
    async with fetching(publisher.url, pace=Pace(every=600, at_least=0.3)) as tokens:
        assert await takes(tokens, token(rsa(), "a"))
        publisher.publish(public(newer, "new"))
        await takes(tokens, token(newer, "new"))
        await wait_until(lambda: publisher.asked == 2)

        await wait_until(lambda: takes(tokens, token(newer, "new")))


async def test_keys_are_fetched_again_by_themselves(publisher: Publisher) -> None:
    """A key that the issuer has withdrawn is forgotten, though nobody asks for another one."""
    async with fetching(publisher.url, pace=Pace(every=0.01, at_least=0)) as tokens:
        assert await takes(tokens, token(rsa(), "a"))
        publisher.publish(public(elliptic(), "b"))
        seen = publisher.asked
        await wait_until(lambda: publisher.asked >= seen + 2)

        assert await refusal(tokens, token(rsa(), "a"))


async def test_the_request_is_plain(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issuer is asked directly, whatever proxy the environment names, and for nothing compressed."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with fetching(publisher.url) as tokens:
        assert await takes(tokens, token(rsa(), "a"))

    (request,) = publisher.requests
    assert request.startswith("GET /keys HTTP/1.1\r\n")
    assert "accept-encoding: identity\r\n" in request.lower()
