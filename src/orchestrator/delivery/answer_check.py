"""Whether an answer fits the JSON Schema of its question.

The schema is an agent's, the answer anybody's, so both are held to bounds: nothing is fetched, no regular expression is
run (one can take for ever, and holds up the whole process meanwhile), and steps are counted. A schema that cannot be
used is as none; an answer that cannot be checked is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from jsonschema import Draft202012Validator, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable

SCHEMA_BYTES_MAX: Final = 16 * 1024
STEPS_MAX: Final = 20_000
"""At most half a second."""
_TOLD_MAX: Final = 200
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_PATTERNED: Final = frozenset({"pattern", "patternProperties"})
# They ask which properties fit the patterns.
_BY_PATTERN: Final = frozenset({"additionalProperties", "unevaluatedProperties"})

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

# The library tells of these less than there is to know.
_extend: Final = cast("Callable[[Any, Mapping[str, Keyword]], Any]", validators.extend)  # type: ignore[misc]
_NOWHERE: Final[Any] = Registry()  # type: ignore[misc]
"""Has no schema, and fetches none."""

_canonical: Final = msgspec.json.Encoder(order="deterministic").encode


class _TooManySteps(Exception):
    pass


class _Steps:
    """Counts what a check does, over all of its keywords."""

    def __init__(self) -> None:
        self._left = STEPS_MAX

    def counted(self, keyword: Keyword) -> Keyword:
        """The keyword, which raises `_TooManySteps` when enough was done."""

        def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
            self._left -= 1
            if self._left < 0:
                raise _TooManySteps
            return keyword(validator, value, instance, schema)

        return check


def fault_of(answer: Any, schema: Mapping[str, Any] | None) -> str | None:
    """Where and why the answer does not fit, a sentence for who gave it; None where it does."""
    draft = None if schema is None else _draft_of(schema)
    if draft is None:
        return None
    try:
        error = next(draft(schema, registry=_NOWHERE).iter_errors(answer), None)
    except Unresolvable:
        return None
    except Exception:  # noqa: BLE001 - whatever a hostile answer finds, it does not get past the schema
        return "`$.answer` is too intricate to be checked"
    return None if error is None else _told(error)


def _draft_of(schema: Mapping[str, Any]) -> Any:
    """What checks by this schema, within bounds; None where it cannot be used."""
    try:
        if len(_canonical(schema)) > SCHEMA_BYTES_MAX or _refers_outside(schema):
            return None
        draft: Any = validators.validator_for(schema, default=Draft202012Validator)
        meta = draft.META_SCHEMA
        # No `format`: the one that is of interest compiles regular expressions.
        if not _bounded(draft, meta, patterns=True)(meta).is_valid(schema):
            return None
        return _bounded(draft, schema, patterns=False)
    except Exception:  # noqa: BLE001 - it is no schema
        return None


def _bounded(draft: Any, schema: Mapping[str, Any], *, patterns: bool) -> Any:
    steps = _Steps()
    keywords: dict[str, Keyword] = {name: steps.counted(check) for name, check in _keywords(draft).items()}
    keywords["uniqueItems"] = _unique
    if not patterns:
        left_out = _PATTERNED | _BY_PATTERN if _has_patterns(schema) else _PATTERNED
        keywords |= dict.fromkeys(left_out, _anything)
    return _extend(draft, keywords)


def _keywords(draft: Any) -> dict[str, Keyword]:
    return dict(draft.VALIDATORS)


def _anything(*_: Any) -> None:
    return None


def _unique(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """The library compares each item with each."""
    if wanted and isinstance(instance, list):
        items = cast("list[Any]", instance)
        if len({_canonical(item) for item in items}) < len(items):
            yield ValidationError("twice")


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        yield members
        for member in members.values():
            yield from _nodes(member)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _nodes(item)


def _has_patterns(schema: Mapping[str, Any]) -> bool:
    return any("patternProperties" in node for node in _nodes(schema))


def _refers_outside(schema: Mapping[str, Any]) -> bool:
    references = (node.get(name) for node in _nodes(schema) for name in _REFERENCES)
    return any(isinstance(target, str) and not target.startswith("#") for target in references)


def _told(error: ValidationError) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    rule = _canonical({str(error.validator): error.validator_value}).decode()[1:-1]
    return f"`$.answer{_short(steps)}` does not fit {_short(rule)}"


def _short(text: str) -> str:
    return text if len(text) <= _TOLD_MAX else f"{text[:_TOLD_MAX]}…"
