"""One operation of the HTTP interface, put together from its parts."""

from collections.abc import Sequence
from typing import Any

from orchestrator.api.description.problems import header_ref
from orchestrator.api.description.values import Schema, ref


def operation(
    name: str,
    tag: str,
    summary: str,
    responses: Schema,
    *,
    description: str = "",
    parameters: Sequence[Schema] = (),
    body: Schema | None = None,
) -> Schema:
    """An operation object; `name` is its operationId."""
    found: Schema = {"operationId": name, "tags": [tag], "summary": summary}
    if description:
        found["description"] = description
    if parameters:
        found["parameters"] = list(parameters)
    if body:
        found["requestBody"] = body
    return found | {"responses": responses}


def json_of(schema: str, example: Any = None) -> Schema:
    """JSON of a component's schema."""
    media: Schema = {"schema": ref(schema)}
    return {"application/json": media if example is None else media | {"example": example}}


def answer(description: str, content: Schema, headers: Sequence[str] = ()) -> Schema:
    """A response."""
    found: Schema = {"description": description, "content": content}
    return found | {"headers": {name: header_ref(name) for name in headers}} if headers else found
