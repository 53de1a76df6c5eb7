"""An issuer that is away or misbehaves: nobody is let in by it, and nobody who was in is shut out."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable

import pytest
from tests.auth.publisher import CALM, Publisher, fetching, public
from tests.auth.verifying import Lines, honest, log_into
from tests.security.minting import elliptic, rsa
from tests.servers import free_port, wait_until

from orchestrator.auth.jwks import Jwks, Pace
from orchestrator.auth.tokens import Tokens
from orchestrator.errors import Problem

EAGER = Pace(every=0.02, at_least=0.02, first_retry=0.01, patience=5)


def token() -> str:
    """An honest token of key `a`."""
    return rsa().mint({"kid": "a"}, **honest())


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    """An issuer that publishes key `a`."""
    publisher = Publisher()
    publisher.publish(public(rsa(), "a"))
    async with publisher.serving():
        yield publisher


async def outcome(tokens: Tokens) -> str:
    """The user of the honest token, or the code of the problem."""
    try:
        return (await tokens.verify(token())).user
    except Problem as problem:
        return problem.code


async def test_without_any_keys_nobody_is_judged() -> None:
    """As long as the keys were never obtained a token is neither good nor bad: 503, to be tried again."""
    lines: Lines = []
    async with fetching(f"http://127.0.0.1:{free_port()}/keys", pace=CALM, lines=lines) as tokens:
        with pytest.raises(Problem) as caught:
            await tokens.verify(token())

    assert caught.value.code == "unavailable"
    assert caught.value.retry_after == CALM.first_retry
    assert [(line["event"], line["has_keys"]) for line in lines] == [("issuer_unreachable", False)]


async def test_keys_are_there_once_and_for_all(publisher: Publisher) -> None:
    """The verifier is ready when keys were obtained, not before, and an outage changes nothing about it."""
    publisher.status = 503
    lines: Lines = []
    async with fetching(publisher.url, pace=EAGER, lines=lines) as tokens:
        await wait_until(lambda: lines)
        assert not tokens.ready
        publisher.status = 200
        await wait_until(lambda: tokens.ready)
        publisher.status = 503
        await wait_until(lambda: len(lines) == 3)
        assert [line["event"] for line in lines] == [
            "issuer_unreachable", "issuer_recovered", "issuer_unreachable"
        ]  # fmt: skip
        assert tokens.ready


async def test_a_token_that_cannot_be_one_is_refused_all_the_same() -> None:
    """What is wrong whatever the keys are needs no keys to be refused."""
    async with fetching(f"http://127.0.0.1:{free_port()}/keys") as tokens:
        for bad in ("", "a.b.c", "x" * 9000):
            with pytest.raises(Problem) as caught:
                await tokens.verify(bad)
            assert caught.value.code == "unauthorized"


async def test_the_first_verification_waits_for_the_keys(publisher: Publisher) -> None:
    """A request that comes while the keys are fetched for the first time waits for them."""
    publisher.gate.clear()
    async with fetching(publisher.url) as tokens:
        waiting = asyncio.create_task(outcome(tokens))
        await wait_until(lambda: publisher.asked == 1)
        publisher.gate.set()

        assert await waiting == "ada"


async def test_a_wait_has_an_end(publisher: Publisher) -> None:
    """An issuer that never answers holds a request up as long as a fetch may take, not longer."""
    publisher.gate.clear()
    async with fetching(publisher.url, pace=Pace(patience=0.05, first_retry=600, at_least=600)) as tokens:
        assert await asyncio.wait_for(outcome(tokens), 5) == "unavailable"


async def test_an_issuer_that_trickles_is_given_up(publisher: Publisher) -> None:
    """The bound is for the whole answer: a byte now and then does not extend it."""
    lines: Lines = []
    publisher.trickles = True
    async with fetching(publisher.url, pace=Pace(patience=0.05, first_retry=600), lines=lines) as tokens:
        await wait_until(lambda: lines)
        assert await outcome(tokens) == "unavailable"

    assert "no whole answer" in lines[0]["error"]


async def test_closing_lets_go_of_who_waits(publisher: Publisher) -> None:
    """A stopping service does not wait for an issuer."""
    publisher.gate.clear()
    async with fetching(publisher.url) as tokens:
        waiting = asyncio.create_task(outcome(tokens))
        await wait_until(lambda: publisher.asked == 1)

    assert await asyncio.wait_for(waiting, 2) == "unavailable"


async def test_the_last_keys_go_on_while_the_issuer_is_away() -> None:
    """Keys that were obtained verify on while the issuer is away; its going and its coming back are one line each."""
    lines: Lines = []
    publisher = Publisher()
    publisher.publish(public(rsa(), "a"))
    async with publisher.serving():
        tokens_of = fetching(publisher.url, pace=EAGER, lines=lines)
        tokens = await tokens_of.__aenter__()
        assert await outcome(tokens) == "ada"
    try:
        await wait_until(lambda: lines)
        assert await outcome(tokens) == "ada"
        async with publisher.serving():
            seen = publisher.asked
            await wait_until(lambda: publisher.asked >= seen + 3)
            assert await outcome(tokens) == "ada"
    finally:
        await tokens_of.__aexit__(None, None, None)

    assert [line["event"] for line in lines[:2]] == ["issuer_unreachable", "issuer_recovered"]
    assert lines[0]["has_keys"] is True


async def test_an_outage_is_one_line(publisher: Publisher) -> None:
    """However often a fetch fails, the log says it once, and once that it is over."""
    lines: Lines = []
    publisher.status = 500
    async with fetching(publisher.url, pace=EAGER, lines=lines) as tokens:
        await wait_until(lambda: publisher.asked >= 5)
        publisher.status = 200
        await wait_until(lambda: len(lines) > 1)
        assert await outcome(tokens) == "ada"

    assert [line["event"] for line in lines] == ["issuer_unreachable", "issuer_recovered"]
    assert lines[1]["seconds"] >= 0


async def test_an_unknown_name_is_refused_while_the_issuer_is_away(publisher: Publisher) -> None:
    """In an outage a token that names no known key is refused as ever: 503 is for those that nobody can judge."""
    lines: Lines = []
    async with fetching(publisher.url, pace=EAGER, lines=lines) as tokens:
        assert await outcome(tokens) == "ada"
        publisher.status = 500
        await wait_until(lambda: lines)
        with pytest.raises(Problem) as caught:
            await tokens.verify(elliptic().mint({"kid": "new"}, **honest()))

    assert caught.value.code == "unauthorized"


async def test_nobody_waits_for_a_task_that_is_gone(publisher: Publisher) -> None:
    """A request is held up no longer than a fetch may take, even if nothing ever comes of it."""
    publisher.gate.clear()
    source = Jwks(publisher.url, None, log_into([]), pace=Pace(patience=0.2))
    await source.start()
    next(task for task in asyncio.all_tasks() if task.get_name() == "jwks").cancel()
    with pytest.raises(Problem) as caught:
        await asyncio.wait_for(source.find("RS256", "a"), 5)
    await source.close()

    assert caught.value.code == "unavailable"


def redirected(publisher: Publisher) -> None:
    """It answers with another address, where the keys are."""
    publisher.status = 302
    publisher.headers = {"Location": f"http://127.0.0.1:{publisher.port}/elsewhere"}


def endless(publisher: Publisher) -> None:
    """Its keys are good, and padded beyond all measure."""
    publisher.body += b" " * 300_000


def compressed(publisher: Publisher) -> None:
    """It compresses though nobody asked for it: a few bytes could become any number."""
    publisher.body = gzip.compress(publisher.body)
    publisher.headers = {"Content-Encoding": "gzip"}


def crowded(publisher: Publisher) -> None:
    """It has more keys than anybody needs."""
    publisher.publish(*(public(rsa(), "a") for _ in range(65)))


def empty(publisher: Publisher) -> None:
    """It has no key."""
    publisher.publish()


def secretive(publisher: Publisher) -> None:
    """It publishes a shared secret."""
    publisher.publish({"kty": "oct", "kid": "a", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"})


def chatty(publisher: Publisher) -> None:
    """It answers with a page."""
    publisher.body = b"<html>Log in first</html>"


def nested(publisher: Publisher) -> None:
    """Its answer is as deep as it is long."""
    publisher.body = b'{"keys":' + b"[" * 200_000


def bare(publisher: Publisher) -> None:
    """It answers with a list of keys where a set is due."""
    publisher.body = json.dumps([public(rsa(), "a")]).encode()


def absent(publisher: Publisher) -> None:
    """Its keys are not where they were."""
    publisher.status = 404


def no_http(publisher: Publisher) -> None:
    """It does not speak HTTP any more."""
    publisher.headers = {"Content-Length": "minus one"}


@pytest.mark.parametrize(
    "misbehave",
    [redirected, endless, compressed, crowded, empty, secretive, chatty, nested, bare, absent, no_http],
)
async def test_an_answer_that_is_no_set_of_keys_changes_nothing(
    publisher: Publisher, misbehave: Callable[[Publisher], None]
) -> None:
    """Such an answer gives no keys at first, and does not replace those there are; nothing else is asked instead."""
    lines: Lines = []
    async with fetching(publisher.url, pace=EAGER, lines=lines) as tokens:
        assert await outcome(tokens) == "ada"
        misbehave(publisher)
        await wait_until(lambda: lines)
        assert await outcome(tokens) == "ada"
    assert lines[0]["event"] == "issuer_unreachable"
    assert all("/elsewhere" not in request for request in publisher.requests)

    async with fetching(publisher.url, pace=CALM) as tokens:
        assert await outcome(tokens) == "unavailable"


async def test_a_password_in_the_address_is_not_logged() -> None:
    """What the settings mask does not stand in the log either."""
    lines: Lines = []
    async with fetching(f"http://ada:hunter2@127.0.0.1:{free_port()}/keys", lines=lines):
        await wait_until(lambda: lines)

    assert "hunter2" not in str(lines)
