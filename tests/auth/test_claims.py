"""What a token has to say of its bearer, and how that is read (contract §6)."""

import pytest
from tests.auth.verifying import honest, refusal, tokens_with, verified
from tests.security.minting import SECRET, by_hand

from orchestrator.auth.claims import Claims


async def refused(**claims: object) -> str:
    """Why a token with these claims is refused."""
    return await refusal(tokens_with(jwt_secret=SECRET), by_hand({"alg": "HS256"}, honest(**claims)))


async def test_every_claim_is_read() -> None:
    """A token names user, tenant and tier, and may bind itself to a session, to agents and to scopes."""
    claims = await verified(
        exp=4_000_000_000, iat=7, session_id="s1", agents=["agent-1", "2"], scope="chat metrics"
    )

    assert claims == Claims(
        user="ada",
        tenant="acme",
        tier="free",
        session="s1",
        agents=frozenset({"agent-1", "2"}),
        scopes=frozenset({"chat", "metrics"}),
        expires=4_000_000_000,
        issued=7,
    )


async def test_what_is_not_said_is_not_bound() -> None:
    """Without the optional claims a token reaches any session and agent of its tenant, to chat."""
    claims = await verified()

    assert (claims.session, claims.agents, claims.scopes) == (None, None, {"chat"})


@pytest.mark.parametrize("name", ["sub", "tenant_id", "tier"])
async def test_a_required_claim_is_named(name: str) -> None:
    """Without user, tenant or tier a token is refused, and the reason says which is missing."""
    assert name in await refused(**{name: None})


@pytest.mark.parametrize("scope", ["metrics", "admin", "chat admin", "metrics admin"])
async def test_the_deployment_has_no_tenant(scope: str) -> None:
    """With `metrics` or `admin` neither tenant nor tier is required; the user is."""
    claims = await verified(scope=scope, tenant_id=None, tier=None)

    assert (claims.tenant, claims.tier, claims.is_of_deployment) == (None, None, True)
    assert "sub" in await refused(scope=scope, sub=None)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("", {"chat"}),
        ("chat", {"chat"}),
        ("openid profile", {"chat"}),
        ("openid  metrics\temail", {"metrics"}),
        ("admin chat admin", {"admin", "chat"}),
        ("Admin METRICS administrator", {"chat"}),
        ("chat,admin", {"chat"}),
        ([], {"chat"}),
        (["admin"], {"admin"}),
        (["chat admin"], {"chat"}),
        (["openid", "metrics"], {"metrics"}),
    ],
)
async def test_scopes_are_words(scope: object, scopes: set[str]) -> None:
    """Unknown words are ignored, and `chat` is implied unless one of the three known ones occurs."""
    assert (await verified(scope=scope)).scopes == scopes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sub", ""),
        ("sub", "x" * 256),
        ("sub", "a\nb"),
        ("sub", 7),
        ("sub", ["ada"]),
        ("tenant_id", ""),
        ("tenant_id", "a:b"),
        ("tenant_id", "{acme}"),
        ("tenant_id", "acme\n"),
        ("tenant_id", "асme"),
        ("tenant_id", "*"),
        ("tenant_id", "x" * 129),
        ("tenant_id", 7),
        ("tenant_id", ["acme"]),
        ("tier", "gold"),
        ("tier", "FREE"),
        ("tier", "free "),
        ("tier", 1),
        ("tier", ["free"]),
        ("session_id", ""),
        ("session_id", "a b"),
        ("session_id", 0),
        ("session_id", False),
        ("agents", "agent-1"),
        ("agents", {"agent-1": True}),
        ("agents", [1]),
        ("agents", ["ok", "not ok"]),
        ("agents", [["a"]]),
        ("agents", [None]),
        ("agents", 0),
        ("scope", 1),
        ("scope", {"admin": True}),
        ("scope", [1]),
        ("scope", True),
    ],
)
async def test_a_malformed_claim_is_refused(name: str, value: object) -> None:
    """A claim that is there has to be well-formed; the reason names it, and never the value."""
    assert name in await refused(**{name: value})
    assert name in await refused(**{"scope": "admin", name: value})


@pytest.mark.parametrize("name", ["sub", "tenant_id", "tier", "session_id", "agents", "scope", "iat"])
async def test_nothing_is_no_value(name: str) -> None:
    """A claim that is null is refused: it could have been meant as a limit."""
    payload = honest(scope="admin") | {name: None}

    assert name in await refusal(tokens_with(jwt_secret=SECRET), by_hand({"alg": "HS256"}, payload))


async def test_no_agent_is_not_any_agent() -> None:
    """A token with an empty list of agents reaches none."""
    assert (await verified(agents=[])).agents == frozenset()


async def test_claims_can_have_other_names() -> None:
    """The settings say what each claim is called; the usual name then means nothing."""
    tokens = tokens_with(
        jwt_secret=SECRET,
        jwt_claim_user="email",
        jwt_claim_tenant="https://example.com/org",
        jwt_claim_tier="plan",
        jwt_claim_session="sid",
        jwt_claim_agents="bots",
        jwt_claim_scope="scp",
    )
    named = {
        "email": "ada@example.com",
        "https://example.com/org": "acme",
        "plan": "enterprise",
        "sid": "s1",
        "bots": ["a"],
        "scp": ["metrics"],
    }
    claims = await tokens.verify(by_hand({"alg": "HS256"}, honest(scope="admin", tenant_id="x", **named)))

    assert (claims.user, claims.tenant, claims.tier) == ("ada@example.com", "acme", "enterprise")
    assert (claims.session, claims.agents, claims.scopes) == ("s1", {"a"}, {"metrics"})
    assert "email" in await refusal(tokens, by_hand({"alg": "HS256"}, honest()))


@pytest.mark.parametrize(
    "payload", ["[]", "7", "null", '"text"', "", "{", '{"sub": "ada"', "{}x", "\ufeff{}"]
)
async def test_a_payload_that_is_no_object_is_refused(payload: str) -> None:
    """A token says something by the members of one JSON object."""
    assert await refusal(tokens_with(jwt_secret=SECRET), by_hand({"alg": "HS256"}, payload))


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
async def test_a_deep_payload_is_refused(bracket: str) -> None:
    """Nesting that no reader follows is refused, in payload and header."""
    depth = 5800 // len(bracket)
    tokens = tokens_with(jwt_secret=SECRET)

    assert await refusal(tokens, by_hand({"alg": "HS256"}, bracket * depth))
    assert await refusal(tokens, by_hand(bracket * depth, honest()))
    assert await refusal(tokens, by_hand({"alg": "HS256"}, f'{{"x": {bracket * depth}'))
