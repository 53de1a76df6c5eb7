"""What the operations of administration have in common."""

from typing import Any, Final

from orchestrator.api.admin.query import PAGE, PAGE_MAX
from orchestrator.api.description.operation import answer, json_of, operation
from orchestrator.api.description.parameters import path, plain, query
from orchestrator.api.description.problems import header_ref, refusals
from orchestrator.api.description.values import Id, Schema
from orchestrator.errors import Code

READ: Final[tuple[Code, ...]] = ("invalid_id", "not_found", "unavailable")
CHANGE: Final[tuple[Code, ...]] = (*READ, "invalid_body", "payload_too_large", "unsupported_media_type")

TENANT_PATH: Final = path("tenant_id", Id, "acme")
OF_TENANT: Final = query("tenant_id", plain(Id), "Only what is of this tenant.")
LIMIT: Final = query(
    "limit", {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE}, "How many at most."
)
AFTER: Final = query("after", plain(Id), "Only what comes behind this id: the `next` of the page before.")


def admin(name: str, summary: str, responses: Schema, *codes: Code, **more: Any) -> Schema:
    """An operation of administration: its answers, the codes that it may refuse with, what else it has."""
    return operation(name, "Administration", summary, {**responses, **refusals(*codes)}, **more)


def record(schema: str, example: Schema, told: str = "The record as it is now.") -> Schema:
    """The 200 of an operation on one record."""
    return {"200": answer(told, json_of(schema, example))}


def created(schema: str, example: Schema) -> Schema:
    """The 201."""
    headers = {"headers": {"Location": header_ref("Created")}}
    return {"201": answer("It is there.", json_of(schema, example)) | headers}


def body(schema: str, example: Schema) -> Schema:
    """A body that has to be there."""
    return {"required": True, "content": json_of(schema, example)}
