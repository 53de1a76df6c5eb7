"""Whether a token is for this service, and for now (contract §6)."""

import time
from collections.abc import Callable
from typing import Final, cast

from orchestrator.auth.claims import Payload, invalid_token, moment

JUDGED: Final = ("exp", "nbf", "iat", "iss", "aud")
"""The claims that are looked at here."""


class Validity:
    """The rules for `exp`, `nbf`, `iat`, `iss` and `aud`; `leeway` is in seconds."""

    def __init__(
        self,
        *,
        issuer: str | None,
        audience: str | None,
        leeway: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._issuer: Final = issuer
        self._audience: Final = audience
        self._leeway: Final = leeway
        self._now: Final = now

    def check(self, payload: Payload) -> None:
        """Raise `unauthorized` unless every rule holds."""
        self._check_times(payload)
        if self._issuer is not None and payload.get("iss") != self._issuer:
            raise invalid_token("the token comes from another issuer", "issuer")
        if self._audience is not None and not _names(payload.get("aud"), self._audience):
            raise invalid_token("the token is for another audience", "audience")

    def _check_times(self, payload: Payload) -> None:
        now: Final = self._now()
        ends, begins, issued = moment(payload, "exp"), moment(payload, "nbf"), moment(payload, "iat")
        if ends is not None and ends <= now - self._leeway:
            raise invalid_token("the token has expired", "expired")
        # One that was issued later than now would outlive the word that voids all issued until now.
        if max(begins or 0, issued or 0) > now + self._leeway:
            raise invalid_token("the token is not valid yet", "not_yet_valid")


def _names(audience: object, expected: str) -> bool:
    """One name, or a list of which one is enough."""
    if isinstance(audience, list):
        return expected in cast("list[object]", audience)
    return audience == expected
