"""/asyncapi.json: valid by the rules of AsyncAPI 3.0, checked here since no maintained validator reads 3.0."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import jsonschema
import pytest
from tests.api.documents import Document, check, resolved

from orchestrator.api.asyncapi import asyncapi_document
from orchestrator.protocol.events import EVENT_TYPES
from orchestrator.protocol.tasks import DEFAULT_MESSAGES

# The fixed fields of each object that the document uses, required ones first (specification 3.0.0).
FIELDS: Final[Mapping[str, tuple[set[str], set[str]]]] = {
    "root": ({"asyncapi", "info"}, {"id", "defaultContentType", "servers", "channels", "operations", "components"}),
    "info": ({"title", "version"}, {"description", "termsOfService", "contact", "license", "tags", "externalDocs"}),
    "server": (
        {"host", "protocol"},
        {"protocolVersion", "pathname", "description", "title", "summary", "variables", "security", "bindings"},
    ),
    "channel": (
        set(),
        {"address", "messages", "title", "summary", "description", "servers", "parameters", "tags", "bindings"},
    ),
    "parameter": (set(), {"enum", "default", "description", "examples", "location"}),
    "operation": (
        {"action", "channel"},
        {"title", "summary", "description", "security", "tags", "bindings", "traits", "messages", "reply"},
    ),
    "reply": (set(), {"address", "channel", "messages"}),
    "message": (
        set(),
        {"headers", "payload", "correlationId", "contentType", "name", "title", "summary", "description", "examples"},
    ),
    "ws": (set(), {"method", "query", "headers", "bindingVersion"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Document:
    """The document as a client reads it."""
    return json.loads(json.dumps(asyncapi_document()))


def objects(document: Document) -> Iterator[tuple[str, Document]]:
    """Every object with fixed fields, with its kind."""
    yield "root", document
    yield "info", document["info"]
    for kind, place in (("server", "servers"), ("channel", "channels"), ("operation", "operations")):
        for item in document[place].values():
            yield kind, item
    yield from (("message", message) for message in document["components"]["messages"].values())
    for channel in document["channels"].values():
        yield from (("parameter", parameter) for parameter in channel["parameters"].values())
        yield from (("ws", binding) for binding in channel.get("bindings", {}).values())
    replies = (operation.get("reply") for operation in document["operations"].values())
    yield from (("reply", reply) for reply in replies if reply)


def references(part: object) -> Iterator[str]:
    """Every `$ref` in a part of the document."""
    if isinstance(part, dict):
        members = cast("Document", part)
        if isinstance(members.get("$ref"), str):
            yield members["$ref"]
        for value in members.values():
            yield from references(value)
    elif isinstance(part, list):
        for item in cast("list[Any]", part):
            yield from references(item)


def test_objects_have_the_fields_of_the_specification(document: Document) -> None:
    """What is required is there, and nothing is that the specification does not know, extensions apart."""
    assert document["asyncapi"] == "3.0.0"
    for kind, found in objects(document):
        required, optional = FIELDS[kind]
        named = {name for name in found if not name.startswith("x-")}
        assert required <= named <= required | optional, (kind, found)


def test_every_reference_leads_somewhere(document: Document) -> None:
    """Each `$ref` is local and found; what is declared is referred to."""
    found = set(references(document))
    for reference in found:
        assert reference.startswith("#/")
        assert resolved(document, {"$ref": reference}) is not None
    for kind in ("schemas", "messages"):
        declared = {f"#/components/{kind}/{name}" for name in document["components"][kind]}
        assert declared <= found


def test_addresses_and_parameters_agree(document: Document) -> None:
    """`{name}` in an address and a parameter of that name, both ways; parameters are texts."""
    for channel in document["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == channel["parameters"].keys()


def test_operations_use_messages_of_their_channel(document: Document) -> None:
    """An operation sends or receives through one channel, with messages of it; so does its reply."""
    used: set[str] = set()
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        for part in filter(None, (operation, operation.get("reply"))):
            messages = [message["$ref"] for message in part["messages"]]
            assert all(ref.startswith(f"{part['channel']['$ref']}/messages/") for ref in messages)
            used.update(messages)
    channels = document["channels"].items()
    assert used == {
        f"#/channels/{name}/messages/{message}" for name, c in channels for message in c["messages"]
    }


def test_payloads_are_schemas(document: Document) -> None:
    """Each schema is a JSON Schema, and each message's example valid by its payload."""
    validator: Any = jsonschema.Draft202012Validator
    for schema in document["components"]["schemas"].values():
        validator.check_schema(schema)
    for message in document["components"]["messages"].values():
        check(document, message["payload"], message["examples"][0]["payload"])


def test_every_event_of_a_log_has_a_message(document: Document) -> None:
    """Frames with a position are exactly the event types of the protocol."""
    schemas = document["components"]["schemas"].values()
    with_position = [
        s["properties"] for s in schemas if {"type", "position", "covers"} <= s["properties"].keys()
    ]
    assert {kind for properties in with_position for kind in properties["type"]["enum"]} == set(EVENT_TYPES)


def test_the_service_has_a_sentence_for_each_ending_code(document: Document) -> None:
    """The ending codes of the document are those that the service knows."""
    assert document["channels"]["session"]["x-ending-codes"].keys() == DEFAULT_MESSAGES.keys()
