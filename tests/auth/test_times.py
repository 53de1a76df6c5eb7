"""For now, and for here: `exp`, `nbf`, `iat`, `iss` and `aud` of a token (contract §6)."""

import json
from typing import Any

import pytest
from tests.auth.verifying import NOW, honest, refusal, tokens_with
from tests.security.minting import SECRET, by_hand

from orchestrator.auth.claims import Claims


def made(**claims: Any) -> str:
    """A signed token with these claims; it expires five minutes after `NOW` unless they say otherwise."""
    return by_hand({"alg": "HS256"}, honest(**{"exp": NOW + 300, **claims}))


async def taken(leeway: str = "30", /, **claims: Any) -> Claims:
    """What is made of it at `NOW`."""
    return await tokens_with(NOW, jwt_secret=SECRET, jwt_leeway=leeway).verify(made(**claims))


async def refused(leeway: str = "30", /, **claims: Any) -> str:
    """Why it is refused at `NOW`."""
    return await refusal(tokens_with(NOW, jwt_secret=SECRET, jwt_leeway=leeway), made(**claims))


async def test_the_times_of_a_token_are_kept() -> None:
    """Expiry and issue are kept as the token has them, fractions included, without the leeway."""
    claims = await taken(exp=NOW + 0.25, iat=NOW - 1.5)

    assert (claims.expires, claims.issued) == (NOW + 0.25, NOW - 1.5)
    assert (await taken()).issued is None


@pytest.mark.parametrize(
    ("leeway", "exp"), [("30", NOW - 30), ("30", NOW - 1000), ("0", NOW), ("0.5", NOW - 0.5), ("30", 0)]
)
async def test_an_expired_token_is_refused(leeway: str, exp: float) -> None:
    """A token ends at `exp`, later by no more than the leeway."""
    assert "expired" in await refused(leeway, exp=exp)
    assert (await taken(leeway, exp=max(exp, NOW - float(leeway)) + 0.01)).user == "ada"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_of_the_future_is_refused(claim: str) -> None:
    """A token does not hold before `nbf`, nor before it was issued, earlier by no more than the leeway."""
    assert "not valid yet" in await refused(**{claim: NOW + 30.01})
    assert "not valid yet" in await refused("0", **{claim: NOW + 0.01})
    assert (await taken(**{claim: NOW + 30})).user == "ada"
    assert (await taken("0", **{claim: NOW})).user == "ada"


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        "1900000300", "", "never", True, False, [], [1_900_000_300], {}, {"a": 1},
        -1, -0.5, 253_402_300_800, 1e15, 1e300, 10**18, 2**63, 2**64, 10**400,
    ],
    ids=repr,
)  # fmt: skip
async def test_what_is_no_time_is_refused(claim: str, value: object) -> None:
    """A time is a number of seconds until the year 9999; text, flags and anything beyond are not."""
    assert await refused(**{claim: value})


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", "null", "0x7fffffff", "1_900_000_300"]
)
async def test_what_is_no_number_is_refused(claim: str, text: str) -> None:
    """What JSON does not know as a number, or as one that ends, is no time; neither is null."""
    payload = json.dumps(honest(**{"exp": NOW + 300, claim: "here"})).replace('"here"', text)
    token = by_hand({"alg": "HS256"}, payload)

    assert await refusal(tokens_with(NOW, jwt_secret=SECRET), token)


async def test_a_token_without_end_is_refused() -> None:
    """`exp` is required."""
    assert "no exp" in await refusal(
        tokens_with(NOW, jwt_secret=SECRET), by_hand({"alg": "HS256"}, honest(exp=None))
    )


@pytest.mark.parametrize(
    "iss", [None, "", "https://evil.example", "https://id.example/", ["https://id.example"], 7]
)
async def test_another_issuer_is_refused(iss: object) -> None:
    """Where the settings name an issuer, `iss` is exactly that text."""
    tokens = tokens_with(jwt_secret=SECRET, jwt_issuer="https://id.example")

    assert "issuer" in await refusal(tokens, by_hand({"alg": "HS256"}, honest(iss=iss)))


@pytest.mark.parametrize("aud", [None, "", "chat2", "CHAT", [], ["other"], [["chat"]], {"chat": 1}, 7, True])
async def test_another_audience_is_refused(aud: object) -> None:
    """Where the settings name an audience, `aud` is it or lists it."""
    tokens = tokens_with(jwt_secret=SECRET, jwt_audience="chat")

    assert "audience" in await refusal(tokens, by_hand({"alg": "HS256"}, honest(aud=aud)))


@pytest.mark.parametrize("aud", ["chat", ["chat"], ["other", "chat"], ["chat", 7]])
async def test_the_right_issuer_and_audience_are_taken(aud: object) -> None:
    """A token for this service, and perhaps for others, is taken."""
    tokens = tokens_with(jwt_secret=SECRET, jwt_audience="chat", jwt_issuer="https://id.example")

    token = by_hand({"alg": "HS256"}, honest(aud=aud, iss="https://id.example"))
    assert (await tokens.verify(token)).user == "ada"


async def test_without_settings_any_issuer_and_audience_are_taken() -> None:
    """What the settings do not name is not looked at; the start warns of it where keys are public."""
    token = by_hand({"alg": "HS256"}, honest(aud=["account"], iss=7))

    assert (await tokens_with(jwt_secret=SECRET).verify(token)).user == "ada"
