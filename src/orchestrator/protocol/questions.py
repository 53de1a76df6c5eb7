"""A question that an agent asks its user, as clients see it (contract §4, §5)."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from orchestrator.protocol.callbacks import read_callback, result_of
from orchestrator.protocol.times import rfc3339


class AskedQuestion(msgspec.Struct, frozen=True):
    """What is asked, until when, and the JSON Schema that the answer has to fit, if there is one."""

    question: str
    """Its name within the task."""
    prompt: str
    schema: dict[str, Any] | None
    expires_at: str


def asked_question(raw: bytes, question: str, expires_at: int) -> AskedQuestion:
    """The question of a callback; total, whatever the agent wrote. `expires_at` is in microseconds."""
    told = result_of(read_callback(raw))
    prompt, schema = told.get("prompt"), told.get("schema")
    return AskedQuestion(
        question,
        prompt if isinstance(prompt, str) else "",
        schema if isinstance(schema, dict) else None,  # type: ignore[arg-type]
        rfc3339(expires_at),
    )


def open_question(record: Mapping[str, bytes]) -> AskedQuestion | None:
    """What a task's record says is still to be answered."""
    expires_at = int(record.get("expires_at", b"0"))
    if not expires_at:
        return None
    return asked_question(record["ask"], record["question"].decode(), expires_at)


class AnswerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer, to the question that is named or else to the open one."""

    answer: Any
    question: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
