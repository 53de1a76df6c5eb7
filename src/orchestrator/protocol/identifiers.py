"""Ids, checked before anything is built from them (contract §1)."""

import re
from typing import Final

PATTERN: Final = r"^[A-Za-z0-9_-][A-Za-z0-9._@+-]{0,127}$"

_VALID: Final = re.compile(PATTERN[:-1] + r"\Z").match
_TASK: Final = re.compile(r"^task-[A-Za-z0-9_-]{1,123}\Z").match


def is_valid_id(value: str) -> bool:
    """Whether `value` may name a tenant, agent, workflow, collection, session or conversation.

    The pattern leaves out braces, colons, stars and control characters, so that no id can
    leave its place in a Redis key.
    """
    return _VALID(value) is not None


def is_valid_task_id(value: str) -> bool:
    """Whether `value` can be one of our task ids: `task-` and URL-safe characters."""
    return _TASK(value) is not None


def is_valid_user_id(value: str) -> bool:
    """Whether `value` is 1 to 255 printable characters; user ids never become part of a key."""
    return 1 <= len(value) <= 255 and value.isprintable()


def is_valid_idempotency_key(value: str) -> bool:
    """Whether `value` is 1 to 128 printable characters."""
    return 1 <= len(value) <= 128 and value.isprintable()
