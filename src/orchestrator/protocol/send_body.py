"""The body of a send (contract §3): what it may contain, and a sentence for what it may not."""

from typing import Annotated, Any, Final, Literal

import msgspec

from orchestrator.protocol.turn_policies import TurnPolicy

MESSAGE_MAX: Final = 32_000


class SendBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a message asks; unknown members are refused, so that a typo is found."""

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=MESSAGE_MAX)]
    message_type: Literal["text"] = "text"
    user_info: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    stream: bool = True
    max_iterations: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None
    turn_policy: TurnPolicy | None = None


def fault_of(body: SendBody, timeout_max: int) -> str | None:
    """What the types cannot say: too long a timeout."""
    if body.timeout is not None and body.timeout > timeout_max:
        return f"`$.timeout` must be at most {timeout_max} seconds"
    return None
