"""How things end: the close codes of WebSockets and the codes of tasks that did not complete (contract §4)."""

from typing import Final

from msgspec import Struct


class CloseCode(Struct, frozen=True):
    """A row of docs/errors.md: what the code means, and what a client does."""

    codes: tuple[int, ...]
    meaning: str
    then: str
    retry_after: bool = False
    """Whether the reason is JSON, `{"retry_after_ms": n}`."""


_AFTER: Final = "reconnect with the position after `retry_after_ms`"

CLOSE_CODES: Final[tuple[CloseCode, ...]] = (
    CloseCode((1000,), "done", "nothing"),
    CloseCode(
        (1001, 1006, 1011),
        "went away, as any code that is not in this table",
        "reconnect with the position, jittered back-off",
    ),
    CloseCode((1003,), "a binary frame", "mend the client"),
    CloseCode((1007,), "a text frame that is not UTF-8", "mend the client"),
    CloseCode((1009,), "a frame over 64 KiB", "mend the client; longer messages go by POST"),
    CloseCode((1012,), "this replica drains", _AFTER, retry_after=True),
    CloseCode((1013,), "full, or Redis is away", _AFTER, retry_after=True),
    CloseCode(
        (4400,), "bad parameters, or a token in the URL; the reason names the parameter", "do not retry"
    ),
    CloseCode((4401,), "credentials are missing, wrong, expired or revoked", "get new ones, then reconnect"),
    CloseCode(
        (4403,), "not yours: tenant, tier, session or origin; or the tenant was suspended", "do not retry"
    ),
    CloseCode((4408,), "too slow: what was sent was not read in time", "reconnect with the position"),
    CloseCode(
        (4429,), "too many messages or connections", "reconnect after `retry_after_ms`", retry_after=True
    ),
)

ENDING_CODES: Final = {
    "agent_failed": "the agent reported a failure without a code of its own",
    "deadline": "no ending came before the task's deadline",
    "cancelled": "a client or an operator cancelled it, or the agent did",
    "superseded": "a newer message took its place (turn policies `latest` and `interrupt`)",
    "merged": "it was merged into another message, or a running agent took it (`merge`, `steer`); `into` names "
    "the task that carries it on",
    "result_too_large": "the ending was over 1 MiB",
    "too_many_attempts": "every attempt that it may have was lost",
    "suspended": "the tenant was suspended",
}
"""The service's own codes; an agent may give others."""
