"""What an honestly signed token has to say before it opens anything (contract §6)."""

import json
import time
from typing import Any, Final

import pytest
from tests.contract.client import Tenant, problem
from tests.contract.conftest import Connect, NewTenant, StartService
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.entrances import Entrances
from tests.security.minting import HS256, bearer, by_hand, claims_of
from tests.security.user import User
from tests.servers import OrchestratorServer, wait_until

HONEST: Final = {"alg": "HS256"}
HOUR: Final = 3600
ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "orchestrator"

NO_IDS: Final[list[Any]] = [
    "",
    " ",
    "a b",
    "{x}",
    "a:b",
    "*",
    "a\nb",
    "a\0",
    "tenänt",
    "x" * 129,
    7,
    True,
    None,
    [],
    ["a"],
    {},
]
NO_TIMES: Final[list[Any]] = ["soon", "4102444800", True, None, [4102444800], {}, -1]

MISSHAPEN: Final[dict[str, list[Any]]] = {
    "sub": ["", "bell\x07", "two\nlines", "NUL\0", "x" * 256, 7, True, None, [], ["ada"], {}],
    "tenant_id": NO_IDS,
    "tier": ["", "gold", "Free", " free", "free ", "{x}", 1, True, None, ["free"], {}],
    "session_id": NO_IDS,
    "agents": ["agent-1", 7, True, [7], [None], [["agent-1"]], {"agent-1": True}, ["a b"], ["*"], ["{x}"]],
    "scope": [7, True, {"admin": True}, [7], [["admin"]]],
    "exp": NO_TIMES,
    "nbf": NO_TIMES,
    "iat": NO_TIMES,
}

# What Python's own reader of JSON takes and the standard does not, and what costs a reader dearly.
PAYLOADS: Final[dict[str, str]] = {
    "no JSON": "sub=ada",
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "a text": '"ada"',
    "a number": "1",
    "cut off": '{"sub":"ada"',
    "with more behind": "{}{}",
    "deep": "[" * 3_000 + "]" * 3_000,
    "deep inside": '{"a":' * 1_000 + "1" + "}" * 1_000,
}

ENDLESS: Final[dict[str, str]] = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "a float that overflows": "1e400",
    "a float of another age": "1e300",
    "an integer of a thousand digits": "9" * 1_000,
}


@pytest.mark.parametrize(
    ("claim", "value"), [(claim, value) for claim, values in MISSHAPEN.items() for value in values]
)
async def test_a_claim_of_a_wrong_shape(entrances: Entrances, tenant: Tenant, claim: str, value: Any) -> None:
    """A claim that is there is well-formed, or nobody gets in: it could have been meant as a limit."""
    await entrances.refuse(by_hand(HONEST, claims_of(tenant, **{claim: value})))


@pytest.mark.parametrize("claim", ["sub", "tenant_id", "tier", "exp"])
async def test_a_claim_that_is_missing(entrances: Entrances, tenant: Tenant, claim: str) -> None:
    """`exp`, `sub`, `tenant_id` and `tier` are required."""
    await entrances.refuse(HS256.of(tenant, **{claim: None}))


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
async def test_a_payload_that_is_no_object(entrances: Entrances, payload: str) -> None:
    """Signed, but nothing that names anybody."""
    await entrances.refuse(by_hand(HONEST, payload))


@pytest.mark.parametrize("number", ENDLESS.values(), ids=ENDLESS)
async def test_a_token_for_ever(entrances: Entrances, tenant: Tenant, number: str) -> None:
    """`exp` is a number that is a time."""
    payload = json.dumps(claims_of(tenant, exp="<number>")).replace('"<number>"', number)
    await entrances.refuse(by_hand(HONEST, payload))


@pytest.mark.parametrize("ago", [1, HOUR])
async def test_an_expired_token(entrances: Entrances, tenant: Tenant, ago: int) -> None:
    """401 from the second on that `exp` names."""
    await entrances.refuse(HS256.of(tenant, exp=time.time() - ago))


async def test_a_token_expires_while_it_is_used(entrances: Entrances, tenant: Tenant) -> None:
    """No answer about a token is remembered beyond its end."""
    exp = time.time() + 2
    token = HS256.of(tenant, exp=exp)
    await entrances.admit(token)
    await wait_until(lambda: time.time() > exp)
    await entrances.refuse(token)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_that_is_not_valid_yet(entrances: Entrances, tenant: Tenant, claim: str) -> None:
    """Neither before `nbf` nor before it was issued."""
    await entrances.refuse(HS256.of(tenant, **{claim: time.time() + HOUR}))
    await entrances.admit(HS256.of(tenant, **{claim: time.time() - 1}))


async def test_clocks_may_differ_a_little(
    service_with: StartService, connect: Connect, tenant: Tenant
) -> None:
    """By 30 s unless `ORCHESTRATOR_JWT_LEEWAY` says otherwise, and no more; what would last ends at `exp` itself."""
    server = service_with(jwt_leeway="30")
    entrances = Entrances(server, connect(server), tenant)
    now = time.time()
    late = bearer(HS256.of(tenant, exp=now - 10))
    assert (await entrances.http.get("/api/chat/stats", headers=late)).status_code == 200
    async with dial(socket_url(server, "sess-late"), additional_headers=late) as socket:
        assert (await closing(socket))[0] == 4401
    await entrances.admit(HS256.of(tenant, nbf=now + 15))
    await entrances.refuse(HS256.of(tenant, exp=now - 31))
    await entrances.refuse(HS256.of(tenant, nbf=now + 60))


@pytest.fixture
def picky(service_with: StartService) -> OrchestratorServer:
    """A server that names issuer and audience."""
    return service_with(jwt_issuer=ISSUER, jwt_audience=AUDIENCE)


@pytest.mark.parametrize(
    "named",
    [
        {"iss": None},
        {"aud": None},
        {"iss": "https://issuer.example/"},
        {"iss": "https://issuer.example.evil.example"},
        {"iss": "https://ISSUER.example"},
        {"iss": ""},
        {"iss": [ISSUER]},
        {"iss": 7},
        {"aud": "orchestrator2"},
        {"aud": "orchestrat"},
        {"aud": ""},
        {"aud": []},
        {"aud": ["another"]},
        {"aud": [[AUDIENCE]]},
        {"aud": {AUDIENCE: True}},
    ],
    ids=str,
)
async def test_a_token_for_somebody_else(
    picky: OrchestratorServer, connect: Connect, tenant: Tenant, named: dict[str, Any]
) -> None:
    """Where `iss` and `aud` are set, a token has both, to the letter."""
    entrances = Entrances(picky, connect(picky), tenant)
    await entrances.refuse(HS256.of(tenant, **{"iss": ISSUER, "aud": AUDIENCE, **named}))


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["another", AUDIENCE]], ids=str)
async def test_a_token_for_this_service(
    picky: OrchestratorServer, connect: Connect, tenant: Tenant, audience: Any
) -> None:
    """The right issuer and audience get in."""
    await Entrances(picky, connect(picky), tenant).admit(HS256.of(tenant, iss=ISSUER, aud=audience))


@pytest.mark.parametrize("claim", ["tenant_id", "sub"])
async def test_a_claim_that_is_given_twice(
    user: User, new_tenant: NewTenant, tenant: Tenant, claim: str
) -> None:
    """Refused, or the last one holds and nothing else (RFC 7519 §4): never one here and the other there."""
    other = await new_tenant()
    task = await user.accepted()
    mine, theirs = (tenant.id, other.id) if claim == "tenant_id" else ("ada", "eve")
    rest = json.dumps({name: value for name, value in claims_of(tenant).items() if name != claim})
    token = by_hand(HONEST, f'{{"{claim}":"{mine}",{rest[1:-1]},"{claim}":"{theirs}"}}')
    path = f"/api/chat/tasks/{task['task_id']}"
    answer = await user.http.get(path, headers=bearer(token))
    assert answer.status_code in (401, 403, 404), answer.text
    repeated = {"X-Tenant-ID": tenant.id} if claim == "tenant_id" else {"X-User-ID": "ada"}
    answer = await user.http.get("/api/chat/stats", headers={**bearer(token), **repeated})
    assert answer.status_code in (401, 403), answer.text


async def test_claims_may_have_other_names(
    service_with: StartService, connect: Connect, tenant: Tenant
) -> None:
    """`ORCHESTRATOR_JWT_CLAIM_TENANT` and its kind: only the configured name is read."""
    server = service_with(jwt_claim_tenant="https://example.com/tenant", jwt_claim_user="email")
    entrances = Entrances(server, connect(server), tenant)
    mapped = {"https://example.com/tenant": tenant.id, "email": "ada@example.com"}
    await entrances.admit(HS256.of(tenant, tenant_id=None, sub=None, **mapped))
    await entrances.refuse(HS256.of(tenant))
    headers = bearer(HS256.of(tenant, **{**mapped, "tenant_id": "another", "sub": "eve"}))
    named = {"X-Tenant-ID": tenant.id, "X-User-ID": "ada@example.com"}
    answer = await entrances.http.get("/api/chat/stats", headers={**headers, **named})
    assert answer.status_code == 200, answer.text
    answer = await entrances.http.get("/api/chat/stats", headers={**headers, "X-User-ID": "eve"})
    problem(answer, 403, "access_denied")
