"""/openapi.json on tokens and administration: what it asks for, and that its schemas are what is read."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.api.documents import Document, faults, resolved

from orchestrator.api.admin import changes
from orchestrator.api.bodies import parsed
from orchestrator.api.description.values import context_id
from orchestrator.api.openapi import openapi_document
from orchestrator.errors import Problem
from orchestrator.protocol.context import CONTEXT_TYPES, ContextType, canonical_id
from orchestrator.protocol.identifiers import is_valid_id, is_valid_user_id

HEALTH: Final = {"/health", "/api/chat/health", "/ws/health", "/health/live", "/health/ready"}
PAGES: Final = {"/", "/docs", "/openapi.json", "/asyncapi.json"}
FIGURES: Final = {"/metrics", "/metrics/overview", "/metrics/queues", "/ws/stats"}


def needed(document: Document) -> dict[str, list[dict[str, list[str]]]]:
    """What each path asks for; its operations ask for the same."""
    found: dict[str, list[dict[str, list[str]]]] = {}
    for path, item in document["paths"].items():
        (found[path],) = ({json.dumps(one["security"]): one["security"] for one in item.values()}).values()
    return found


def scope_of(path: str) -> list[str]:
    """The scope that a path needs by the contract; none for what is public."""
    if path in HEALTH | PAGES:
        return []
    return ["admin" if path.startswith("/api/admin/") else "metrics" if path in FIGURES else "chat"]


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("gateway", [False, True])
def test_each_route_tells_what_it_asks_for(tokens: bool, gateway: bool) -> None:
    """A token with the route's scope where tokens are asked for, the gateway's secret everywhere but for health."""
    document = openapi_document(tokens=tokens, gateway=gateway)
    validator: Any = OpenAPIV31SpecValidator(document)
    assert list(validator.iter_errors()) == []
    for path, security in needed(document).items():
        scope = scope_of(path) if tokens or path.startswith("/api/admin/") else []
        expected: dict[str, list[str]] = {"bearer": scope} if scope else {}
        if gateway and path not in HEALTH:
            expected["gatewaySecret"] = []
        assert security == ([expected] if expected else []), path
        assert expected.keys() <= document["components"]["securitySchemes"].keys()


def test_a_token_replaces_headers() -> None:
    """Tenant and tier are required of those who have no token, and of nobody else; an agent and a session of all."""
    required = {
        tokens: {
            parameter["name"]
            for parameter in openapi_document(tokens=tokens)["paths"]["/api/chat/send"]["post"]["parameters"]
            if parameter["required"]
        }
        for tokens in (False, True)
    }
    assert required[False] == {"X-Tenant-ID", "X-Tenant-Tier", "X-Agent-ID", "X-Session-ID"}
    assert required[True] == {"X-Agent-ID", "X-Session-ID"}


LIMITS: Final[list[Any]] = [
    {},
    None,
    [],
    {"weight": 1},
    {"weight": None},
    {"weight": 0},
    {"weight": 2**31 - 1},
    {"weight": 2**31},
    {"weight": "1"},
    {"weight": True},
    {"weight": 1.5},
    {"burst": 1},
    {
        "requests_per_minute": 1,
        "max_outstanding": 2,
        "max_connections": 3,
        "messages_per_second": 4,
        "weight": 5,
        "max_running": 6,
    },
]
BODIES: Final[list[tuple[str, Callable[[bytes], object], list[Any]]]] = [
    (
        "NewTenant",
        changes.new_tenant,
        [
            {},
            [],
            None,
            {"id": "x"},
            {"tier": "free"},
            {"id": "x", "tier": "gold"},
            {"id": "x", "tier": "free", "x": 1},
            *({"id": "x", "tier": "free", "limits": limits} for limits in LIMITS),
        ],
    ),
    (
        "TenantChange",
        changes.tenant_change,
        [
            {"tier": "free"},
            {"tier": None},
            {"tier": "gold"},
            {"active": True},
            *({"limits": limits} for limits in LIMITS),
        ],
    ),
    ("TierChange", changes.tier_change, [{}, {"weight": 1}, *({"limits": limits} for limits in LIMITS)]),
    (
        "ContextChange",
        changes.context_change,
        [
            {"active": True},
            {"active": 1},
            {"active": None},
            {"active": True, "x": 1},
            *({"turn_policy": policy} for policy in ("steer", None, "never", 1)),
            *({"max_attempts": number} for number in (1, 100, 101, 0, None, "1", 1.5)),
        ],
    ),
    (
        "NewAgent",
        changes.new_context,
        [
            {},
            {"id": "x"},
            {"tenant_id": "x"},
            {"id": "x", "tenant_id": "y"},
            {"id": 1, "tenant_id": "y"},
            *({"id": "x", "tenant_id": "y", "turn_policy": policy} for policy in ("merge", None, "never")),
            *({"id": "x", "tenant_id": "y", "max_attempts": number} for number in (1, 100, 101, None)),
        ],
    ),
    (
        "Revocation",
        changes.revocation,
        [
            {},
            {"tenant_id": "x"},
            {"tenant_id": "x", "sub": "y"},
            {"tenant_id": None, "sub": "y"},
            {"sub": "y"},
        ],
    ),
]


@pytest.mark.parametrize(
    ("name", "decode", "body"), [(name, decode, body) for name, decode, bodies in BODIES for body in bodies]
)
def test_the_schema_of_a_body_says_what_is_read(
    name: str, decode: Callable[[bytes], object], body: object
) -> None:
    """A body is valid by the schema exactly when it is taken; ids are looked at later."""
    document = json.loads(json.dumps(openapi_document()))
    schema = resolved(document, {"$ref": f"#/components/schemas/{name}"})
    try:
        parsed(json.dumps(body).encode(), decode)
        taken = True
    except Problem:
        taken = False
    assert taken == (faults(document, schema, body) == [])


@pytest.mark.parametrize("kind", CONTEXT_TYPES)
@given(data=st.data())
def test_the_pattern_of_an_id_is_exact(kind: ContextType, data: st.DataObject) -> None:
    """It matches what is an id with and without the type in front, at every length."""
    characters = "aZ0_-.@+ :"
    name = data.draw(st.text(characters, max_size=3)) + "x" * data.draw(st.integers(0, 130))
    given_id = data.draw(st.sampled_from(["", f"{kind}-", f"{kind}"])) + name
    valid = is_valid_id(given_id) and is_valid_id(canonical_id(kind, given_id))
    assert valid == (faults({"components": {}}, context_id(kind), given_id) == [])


def test_the_patterns_of_headers_are_exact() -> None:
    """Of all characters that a header can have, a user's name may have those that the service calls printable."""
    parameters = openapi_document()["paths"]["/api/chat/send"]["post"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    for character in map(chr, range(256)):
        name = f"a{character}b"
        described = faults({"components": {}}, schemas["X-User-ID"], name) == []
        assert described == is_valid_user_id(name), repr(character)
    keys = ["", '"', '""', '"x"', "x" * 128, "x" * 129, f'"{"x" * 128}"', f'"{"x" * 129}"', '"x', "a\tb"]
    taken = [faults({"components": {}}, schemas["Idempotency-Key"], key) == [] for key in keys]
    assert taken == [True, True, False, True, True, False, True, False, True, False]
