"""From what a request states and what its token proves to an identity (contract §6)."""

from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.auth.claims import Claims
from orchestrator.auth.identity import Stated, identify
from orchestrator.errors import Problem

CLAIMS = Claims(
    user="ann",
    tenant="acme",
    tier="free",
    session=None,
    agents=frozenset({"agent-1"}),
    scopes=frozenset({"chat"}),
    expires=2e9,
    issued=1e9,
)


def code_of(stated: Stated, claims: Claims | None) -> str:
    """The code with which it is refused."""
    with pytest.raises(Problem) as raised:
        identify(stated, claims)
    return raised.value.code


def test_headers_alone() -> None:
    """Without a token, what the request states is so."""
    identity = identify(Stated(tenant="acme", tier="free", user="ann", session="s-1"), None)
    assert (identity.tenant, identity.tier, identity.user, identity.session) == ("acme", "free", "ann", "s-1")
    assert (identity.bound, identity.agents, identity.expires) == (False, None, None)


def test_a_token_alone() -> None:
    """With a token the request need say nothing of tenant, tier and user."""
    identity = identify(Stated(tenant=None, session="s-1"), CLAIMS)
    assert (identity.tenant, identity.tier, identity.user, identity.session) == ("acme", "free", "ann", "s-1")
    assert (identity.bound, identity.agents) == (False, {"agent-1"})
    assert (identity.expires, identity.issued, identity.subject) == (2e9, 1e9, ("acme", "ann"))


def test_repeating_is_no_contradiction() -> None:
    """A request may say what the token says."""
    stated = Stated(tenant="acme", tier="free", user="ann", session="s-1")
    assert identify(stated, replace(CLAIMS, session="s-1")).bound


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({"tenant": "other"}, "access_denied"),
        ({"tier": "enterprise"}, "tier_mismatch"),
        ({"user": "bob"}, "access_denied"),
        ({"session": "s-2"}, "session_denied"),
        ({"tenant": "a{b}"}, "invalid_id"),
        ({"tier": "gold"}, "invalid_tier"),
        ({"user": "a\nb"}, "invalid_id"),
        ({"session": "*"}, "invalid_id"),
    ],
)
def test_contradictions(stated: dict[str, Any], code: str) -> None:
    """Whatever the request says against its token is refused; what is malformed, as malformed."""
    claims = replace(CLAIMS, session="s-1")
    told: dict[str, Any] = {"tenant": None, **stated}
    assert code_of(Stated(**told), claims) == code


def test_an_administrator_states_for_whom() -> None:
    """A token of the deployment with `admin` acts for the tenant and user that the request states."""
    claims = replace(CLAIMS, tenant=None, tier=None, scopes=frozenset({"admin"}), user="root", agents=None)
    identity = identify(Stated(tenant="acme", tier="free", session="s-1"), claims)
    assert (identity.tenant, identity.user, identity.expires) == ("acme", "", 2e9)
    assert identity.subject == ("", "root")
    assert code_of(Stated(tenant=None), claims) == "missing_headers"


def test_other_tokens_of_the_deployment() -> None:
    """Without `admin` a token that names no tenant is nobody's in a chat, whatever the request states."""
    claims = replace(CLAIMS, tenant=None, tier=None, scopes=frozenset({"metrics", "chat"}))
    assert code_of(Stated(tenant="acme", tier="free"), claims) == "unauthorized"
