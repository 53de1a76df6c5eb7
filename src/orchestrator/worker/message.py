"""What a user adds while an agent is at work (turn policy `steer`)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A later message of the same session, handed to the task that runs."""

    task_id: str
    """The task that it would have become; it ends as merged into the one that reads it."""
    message: str
    user_id: str | None = None
    metadata: dict[str, Any] = {}
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
