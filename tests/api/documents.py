"""The descriptions as tests use them: schemas of a document, told to allow nothing that they do not name."""

from datetime import datetime
from typing import Any, Final, cast

import jsonschema

Document = dict[str, Any]

_checker: Final = cast("Any", jsonschema.FormatChecker(formats=()))


@_checker.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def strict(part: Any) -> Any:
    """`part`, with every object closed that does not say otherwise: an answer may have nothing undocumented."""
    if isinstance(part, list):
        return [strict(item) for item in cast("list[Any]", part)]
    if not isinstance(part, dict):
        return part
    closed = {name: strict(value) for name, value in cast("Document", part).items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def resolved(document: Document, part: Document) -> Document:
    """`part`, or what it refers to."""
    while "$ref" in part:
        found: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def faults(document: Document, schema: Document, value: object) -> list[str]:
    """What is wrong with `value` by a schema of the document, one line each."""
    root = {**schema, "components": document["components"]}
    validator: Any = jsonschema.Draft202012Validator(root, format_checker=_checker)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def check(document: Document, schema: Document, value: object) -> None:
    """Fails unless `value` is as the schema says, and has nothing besides."""
    found = faults(strict(document), strict(schema), value)
    assert not found, f"{value} is not as described: {found}"
