"""One operation of the HTTP interface, put together from its parts."""

from collections.abc import Sequence
from typing import Any, Final

from orchestrator.api.description.problems import header_ref
from orchestrator.api.description.values import Schema, ref

OPEN: Final[list[Schema]] = []
"""`security` of a route that asks nobody for anything."""


def operation(
    name: str,
    tag: str,
    summary: str,
    responses: Schema,
    *,
    description: str = "",
    parameters: Sequence[Schema] = (),
    body: Schema | None = None,
    security: list[Schema] | None = None,
) -> Schema:
    """An operation object; `name` is its operationId."""
    found: Schema = {"operationId": name, "tags": [tag], "summary": summary}
    if description:
        found["description"] = description
    if parameters:
        found["parameters"] = list(parameters)
    if body:
        found["requestBody"] = body
    found["responses"] = responses
    return found if security is None else found | {"security": security}


def json_of(schema: str, example: Any = None) -> Schema:
    """JSON of a component's schema."""
    media: Schema = {"schema": ref(schema)}
    return {"application/json": media if example is None else media | {"example": example}}


def answer(description: str, content: Schema, headers: Sequence[str] = ()) -> Schema:
    """A response."""
    found: Schema = {"description": description, "content": content}
    return found | {"headers": {name: header_ref(name) for name in headers}} if headers else found
