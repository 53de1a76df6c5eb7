"""Operators see why people are refused: a figure for each reason, and nothing about who it was."""

import time
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.contract.client import Tenant, problem
from tests.contract.conftest import Connect, StartService
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.minting import HS256, SECRET, bearer, by_hand, claims_of, shared
from tests.security.user import User

OURS: Final = {"iss": "https://issuer.example", "aud": "orchestrator"}
ANOTHER: Final = "another secret, which is just as long as it needs to be"
NAME: Final = "orchestrator_credentials_refused_total"
CLAIMS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("expired", {"exp": time.time() - 3_600}),
    ("not_yet_valid", {"nbf": time.time() + 36_000, "exp": time.time() + 72_000}),
    ("audience", {"aud": "somebody"}),
    ("issuer", {"iss": "https://else.example"}),
    ("malformed", {"tier": "gold"}),
]


@pytest.fixture
def visitor(service_with: StartService, connect: Connect, tenant: Tenant) -> User:
    """Ada at a server that wants an issuer and an audience."""
    server = service_with(jwt_secret=SECRET, jwt_issuer=OURS["iss"], jwt_audience=OURS["aud"])
    return User(connect(server), tenant, iss=OURS["iss"], aud=OURS["aud"])


async def counted(visitor: User) -> dict[str, float]:
    """How often each reason occurred."""
    answer = await visitor.http.get(
        "/metrics", headers=bearer(HS256.mint(sub="ops", scope="metrics", **OURS))
    )
    assert answer.status_code == 200, answer.text
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]
    return {one.labels["reason"]: one.value for one in samples if one.name == NAME}


async def raised(visitor: User, path: str = "/api/chat/stats") -> dict[str, float]:
    """By what the reasons rise when the visitor asks once."""
    before = await counted(visitor)
    refused = await visitor.ask("GET", path)
    problem(refused, refused.status_code, refused.json()["code"])
    assert "reason" not in refused.json()
    after = await counted(visitor)
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)}


@pytest.mark.parametrize(("reason", "claims"), CLAIMS, ids=[reason for reason, _ in CLAIMS])
async def test_a_claim_that_is_refused(visitor: User, reason: str, claims: dict[str, Any]) -> None:
    """Counted once, under what is wrong with it; the caller is told by `detail` alone."""
    visitor.token = HS256.of(visitor.tenant, **OURS | claims)
    assert await raised(visitor) == {reason: 1}


async def test_a_token_of_another_key(visitor: User) -> None:
    """`signature`, also where the algorithm is none of the key's."""
    visitor.token = shared(ANOTHER).of(visitor.tenant, **OURS)
    assert await raised(visitor) == {"signature": 1}
    visitor.token = by_hand({"alg": "none"}, claims_of(visitor.tenant, **OURS), None)
    assert await raised(visitor) == {"signature": 1}


async def test_what_is_no_token(visitor: User) -> None:
    """What cannot be read as one is `malformed`."""
    visitor.token = "rubbish"
    assert await raised(visitor) == {"malformed": 1}


async def test_a_token_that_does_not_reach(visitor: User) -> None:
    """`scope`; and who may, is not counted."""
    assert await raised(visitor, "/api/admin/tenants") == {"scope": 1}
    before = await counted(visitor)
    assert (await visitor.ask("GET", "/api/chat/stats")).status_code == 200
    problem(await visitor.ask("GET", "/api/chat/nowhere"), 404, "not_found")
    assert await counted(visitor) == before


async def test_no_token(visitor: User) -> None:
    """`missing`, where a request has none."""
    before = await counted(visitor)
    problem(await visitor.http.get("/api/chat/stats"), 401, "unauthorized")
    after = await counted(visitor)
    assert after["missing"] == before.get("missing", 0) + 1


async def test_a_socket(visitor: User, service_with: StartService) -> None:
    """Sockets count as requests do."""
    server = service_with(jwt_secret=SECRET, jwt_issuer=OURS["iss"], jwt_audience=OURS["aud"])
    before = await counted(visitor)
    headers = bearer(HS256.of(visitor.tenant, **OURS | {"exp": time.time() - 3_600}))
    async with dial(socket_url(server, visitor.session_id), additional_headers=headers) as socket:
        assert (await closing(socket))[0] == 4401
    after = await counted(visitor)
    assert after["expired"] == before.get("expired", 0) + 1
