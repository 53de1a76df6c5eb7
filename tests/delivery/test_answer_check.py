"""Answers are held against their question's schema, whatever either of them is like (contract §5)."""

import socket
from typing import Any

import pytest

from orchestrator.delivery.answer_check import fault_of

FORM = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "ages": {"items": {"minimum": 18}}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        ("yes", None),
        ("yes", {}),
        ("yes", {"enum": ["yes", "no"]}),
        (3, {"type": "integer"}),
        (3.0, {"$schema": "http://json-schema.org/draft-07/schema#", "type": "integer"}),
        ({"name": "Ada", "ages": [18, 36]}, FORM),
        ([1, "1", 2], {"uniqueItems": True}),
        (
            {"a": {"a": 1}},
            {"$defs": {"t": {"properties": {"a": {"$ref": "#/$defs/t"}}}}, "$ref": "#/$defs/t"},
        ),
    ],
)
def test_it_fits(answer: Any, schema: Any) -> None:
    """What the schema allows is taken, and without a schema everything is."""
    assert fault_of(answer, schema) is None


@pytest.mark.parametrize(
    ("answer", "schema", "told"),
    [
        ("maybe", {"enum": ["yes", "no"]}, '`$.answer` does not fit "enum":["yes","no"]'),
        ({"name": "Augusta"}, FORM, '`$.answer.name` does not fit "maxLength":5'),
        ({"name": "Ada", "ages": [18, 3]}, FORM, '`$.answer.ages[1]` does not fit "minimum":18'),
        ({"ages": []}, FORM, '`$.answer` does not fit "required":["name"]'),
        ({"name": "Ada", "x": 1}, FORM, '`$.answer` does not fit "additionalProperties":false'),
        ([1, 1], {"uniqueItems": True}, '`$.answer` does not fit "uniqueItems":true'),
        (True, {"type": "integer"}, '`$.answer` does not fit "type":"integer"'),
    ],
)
def test_it_does_not_fit(answer: Any, schema: Any, told: str) -> None:
    """Whoever answered is told where and why."""
    assert fault_of(answer, schema) == told


def test_what_is_told_is_short() -> None:
    """Neither a long answer nor a long rule comes back whole."""
    told = fault_of({"a" * 60_000: 1}, {"additionalProperties": {"enum": ["x" * 9_000]}})
    assert told is not None
    assert len(told) < 500


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"minimum": "much"},
        {"$schema": 7, "type": "string"},
        {"$ref": "#/nowhere"},
        {"enum": ["x" * 17_000]},
        {"$ref": "https://example.com/schema.json"},
        {"allOf": [{"$dynamicRef": "other.json"}, {"type": "string"}]},
    ],
    ids=["type", "minimum", "draft", "dangling", "large", "elsewhere", "relative"],
)
def test_schema_that_cannot_be_used(schema: Any) -> None:
    """The question can be answered all the same: what is no usable schema is as none."""
    assert fault_of(1, schema) is None


def test_half_a_schema() -> None:
    """One that refers to others is as none in all its parts, whichever of them an answer comes to."""
    schema = {"type": "string", "properties": {"a": {"$ref": "https://example.com/schema.json"}}}
    assert fault_of(1, schema) is None


def test_deep_schema() -> None:
    """A schema deeper than anything that can be walked is as none."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(2_000):
        schema = {"not": schema}
    assert fault_of(1, schema) is None


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No schema makes the service open a connection, however it names another."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    schema = {"$id": "http://127.0.0.1:9/", "$defs": {"a": {"$id": "b", "$ref": "#/c"}}, "$ref": "#/$defs/a"}
    assert fault_of(1, schema) is None
    assert fault_of(1, {"$ref": "http://127.0.0.1:9/a"}) is None


EVIL = "^(a+)+$"
LONG = "a" * 60 + "!"
ANY: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        (LONG, {"pattern": EVIL}),
        ({LONG: 1}, {"patternProperties": {EVIL: ANY}, "additionalProperties": False}),
        ({LONG: 1}, {"allOf": [{"patternProperties": {EVIL: ANY}}], "unevaluatedProperties": False}),
        ({LONG: 1}, {"propertyNames": {"pattern": EVIL}}),
        (EVIL, {"format": "regex"}),
    ],
    ids=["pattern", "additional", "unevaluated", "names", "format"],
)
def test_regular_expressions_are_not_run(answer: Any, schema: Any) -> None:
    """One can take longer than the universe, and nothing else happens in the process meanwhile."""
    assert fault_of(answer, schema) is None


def test_other_rules_hold_beside_patterns() -> None:
    """What is left out is the expressions alone; names that only they would allow are let through."""
    assert fault_of(5, {"pattern": "^a", "type": "string"}) is not None
    assert fault_of({"b": 1}, {"properties": {"a": {}}, "additionalProperties": False}) is not None


def doubling(levels: int) -> dict[str, Any]:
    """A small schema that takes 2^levels steps."""
    definitions: dict[str, Any] = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)
    }
    return {"$defs": definitions | {f"a{levels}": {}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("answer", "schema"),
    [(1, doubling(60)), (1, {"$ref": "#"}), (10**400, {"multipleOf": 0.1})],
    ids=["steps", "circle", "overflow"],
)
def test_too_intricate(answer: Any, schema: Any) -> None:
    """A check is bounded, and nobody gets an answer past a schema by making it fail."""
    assert fault_of(answer, schema) == "`$.answer` is too intricate to be checked"


def test_many_items_that_shall_differ() -> None:
    """20 000 objects are told apart in one pass; each compared with each would take minutes."""
    items = [{"n": n} for n in range(20_000)]
    assert fault_of(items, {"uniqueItems": True}) is None
    assert fault_of([*items, {"n": 7}], {"uniqueItems": True}) is not None
