"""/openapi.json: valid, complete, and generated from what the service reads and writes."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route
from tests.api.documents import Document, faults, resolved

from orchestrator.api.bodies import BODY_MAX, parse_send
from orchestrator.api.headers import OPTIONAL, REQUIRED
from orchestrator.api.openapi import openapi_document
from orchestrator.app import create_app
from orchestrator.errors import ALL_CODES, CODES, Problem
from orchestrator.protocol.send_body import fault_of
from orchestrator.settings import Settings

METHODS: Final = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> Document:
    """The document as a client reads it."""
    return json.loads(json.dumps(openapi_document()))


def operations(document: Document) -> dict[tuple[str, str], Document]:
    """Every operation by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_the_document_is_valid(document: Document) -> None:
    """OpenAPI 3.1, by a validator that is not ours; every reference leads somewhere."""
    validator: Any = OpenAPIV31SpecValidator(document)
    assert list(validator.iter_errors()) == []


def test_routes_and_operations_are_the_same(document: Document, tmp_path: Path) -> None:
    """Each route of the application is described with its methods, and nothing else is."""
    database = f"sqlite+aiosqlite:///{tmp_path}/none.db"
    app = create_app(Settings.from_environment({"DATABASE_URL": database}))
    served = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set[str]()) - {"HEAD"}
    }
    assert operations(document).keys() == served


def test_each_operation_can_be_named(document: Document) -> None:
    """A unique operationId, a tag that is declared, and a summary of one sentence."""
    found = list(operations(document).values())
    assert len({operation["operationId"] for operation in found}) == len(found)
    tags = {tag["name"] for tag in document["tags"]}
    for operation in found:
        assert set(operation["tags"]) <= tags
        assert operation["summary"].endswith(".")
        assert operation["summary"].count(". ") == 0


def test_every_header_of_a_send_is_described(document: Document) -> None:
    """The headers that are read, those that are required, and no other."""
    parameters = document["paths"]["/api/chat/send"]["post"]["parameters"]
    assert {p["name"] for p in parameters} == {*REQUIRED, *OPTIONAL}
    assert {p["name"] for p in parameters if p["required"]} == set(REQUIRED)
    assert f"{BODY_MAX // 1024} KiB" in document["paths"]["/api/chat/send"]["post"]["description"]


def test_path_parameters_are_those_of_the_path(document: Document) -> None:
    """`{name}` in a path and a path parameter of that name, both ways."""
    for (_, path), operation in operations(document).items():
        named = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"} == named


def test_every_error_code_is_described(document: Document) -> None:
    """The problem document lists each code that there is."""
    assert set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == set(ALL_CODES)


def test_refusals_have_their_own_status(document: Document) -> None:
    """A code stands under its status, with an example whose title is the code's."""
    for operation in operations(document).values():
        for status, response in operation["responses"].items():
            media = response["content"].get("application/problem+json", {})
            for code, example in media.get("examples", {}).items():
                assert (int(status), example["value"]["title"]) == CODES[code]


def test_examples_are_as_described(document: Document) -> None:
    """Every example of a body, a parameter or an answer is valid by the schema beside it."""
    checked = 0
    for operation in operations(document).values():
        medias = [
            media
            for part in (operation.get("requestBody", {}), *operation["responses"].values())
            for media in part.get("content", {}).values()
        ]
        for described in (*medias, *operation.get("parameters", [])):
            examples = [e["value"] for e in described.get("examples", {}).values()]
            for example in examples + ([described["example"]] if "example" in described else []):
                assert faults(document, described["schema"], example) == []
                checked += 1
    assert checked > 100


BODIES: Final[list[Any]] = [
    {},
    {"message": ""},
    {"message": None},
    {"message": "x" * 32_000},
    {"message": "x" * 32_001},
    {"message": "é" * 32_000},
    {"message": "x", "message_type": "image"},
    {"message": "x", "user_info": None, "metadata": None},
    {"message": "x", "user_info": []},
    {"message": "x", "stream": "yes"},
    {"message": "x", "stream": None},
    {"message": "x", "max_iterations": 0},
    {"message": "x", "max_iterations": 1},
    {"message": "x", "max_iterations": 1.5},
    {"message": "x", "max_iterations": True},
    {"message": "x", "timeout": 0},
    {"message": "x", "timeout": 0.5},
    {"message": "x", "timeout": "1"},
    {"message": "x", "turn_policy": None},
    {"message": "x", "mesage": "y"},
    [],
    "message",
    *({"message": "x", "turn_policy": policy} for policy in
      ("parallel", "queue", "reject", "interrupt", "latest", "merge", "steer", "never")),
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: json.dumps(body)[:60])
def test_the_schema_of_a_send_says_what_is_accepted(document: Document, body: object) -> None:
    """A body is valid by the schema exactly when the service takes it."""
    schema = resolved(document, {"$ref": "#/components/schemas/SendBody"})
    try:
        accepted = fault_of(parse_send(json.dumps(body).encode()), timeout_max=3600) is None
    except Problem:
        accepted = False
    assert accepted == (faults(document, schema, body) == [])
