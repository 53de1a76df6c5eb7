"""A reader of JSON as strict as a browser's, and a little stricter."""

import json
from typing import Any, NoReturn


def strict_json(text: str | bytes) -> Any:
    """`text` as JSON that every reader understands; NaN, Infinity, members given twice and half characters fail."""
    written = text.decode("utf-8") if isinstance(text, bytes) else text
    value = json.loads(written, parse_constant=_refuse, object_pairs_hook=_once)
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails at half a surrogate pair
    return value


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"not strict JSON: {constant}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    assert len(members) == len(pairs), f"a member is given twice: {pairs}"
    return members
