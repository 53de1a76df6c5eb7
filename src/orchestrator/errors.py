"""The errors that callers see: one small tree and one table (contract §3)."""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

Code = Literal[
    "missing_headers",
    "invalid_tier",
    "invalid_context_type",
    "invalid_id",
    "invalid_body",
    "unauthorized",
    "access_denied",
    "tier_mismatch",
    "session_denied",
    "insufficient_scope",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "session_busy",
    "not_waiting",
    "already_exists",
    "payload_too_large",
    "unsupported_media_type",
    "idempotency_conflict",
    "rate_limited",
    "queue_full",
    "headers_too_large",
    "internal",
    "unavailable",
    "outcome_unknown",
]

Reason = Literal[
    "missing",
    "malformed",
    "expired",
    "not_yet_valid",
    "signature",
    "audience",
    "issuer",
    "revoked",
    "scope",
    "other",
]
"""Why a credential was refused, for the figures: few words, which never depend on who asks."""

ALL_CODES: Final[tuple[Code, ...]] = get_args(Code)

# One row an error code: the HTTP status and the title. docs/errors.md is held against this table.
CODES: Final[Mapping[Code, tuple[int, str]]] = {
    "missing_headers": (400, "Missing required headers"),
    "invalid_tier": (400, "Invalid tier"),
    "invalid_context_type": (400, "Invalid context type"),
    "invalid_id": (400, "Invalid id"),
    "invalid_body": (400, "Invalid body"),
    "unauthorized": (401, "Unauthorized"),
    "access_denied": (403, "Access denied"),
    "tier_mismatch": (403, "Tier mismatch"),
    "session_denied": (403, "Session denied"),
    "insufficient_scope": (403, "Insufficient scope"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "request_timeout": (408, "Request timeout"),
    "session_busy": (409, "Session busy"),
    "not_waiting": (409, "Not waiting"),
    "already_exists": (409, "Already exists"),
    "payload_too_large": (413, "Payload too large"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "idempotency_conflict": (422, "Idempotency conflict"),
    "rate_limited": (429, "Rate limited"),
    "queue_full": (429, "Queue full"),
    "headers_too_large": (431, "Headers too large"),
    "internal": (500, "Internal error"),
    "unavailable": (503, "Unavailable"),
    "outcome_unknown": (503, "Outcome unknown"),
}


_REASONS: Final[Mapping[Code, Reason]] = {"unauthorized": "other", "insufficient_scope": "scope"}


class OrchestratorError(Exception):
    """Whatever this package raises on purpose."""


class Problem(OrchestratorError):
    """A refusal that the caller sees, as `application/problem+json` or as an `error` frame.

    `detail` is one sentence for the caller, `retry_after` is in seconds, `members` are the ones
    that help (`missing`, `allowed`, `task_id`). None of them may carry internals. `reason` is not told.
    """

    def __init__(
        self,
        code: Code,
        detail: str | None = None,
        *,
        retry_after: float | None = None,
        reason: Reason | None = None,
        **members: Any,
    ) -> None:
        self.code: Final = code
        self.status, self.title = CODES[code]
        self.detail = detail
        self.retry_after = retry_after
        self.members: Mapping[str, Any] = members
        self.headers: Mapping[str, str] = {}
        """What else the answer tells by headers."""
        self.reason: Final = reason or _REASONS.get(code)
        """Why a credential was refused; None where none was."""
        super().__init__(detail or self.title)


class SettingsError(OrchestratorError):
    """The environment does not make a configuration; `faults` has one line for each reason."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))
