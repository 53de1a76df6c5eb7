"""Which tokens are void though they are valid, in memory (docs/decisions/0008)."""


class Revocations:
    """Until when tokens of a subject are void; fed by `Oversight`."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def note(self, tenant: str, subject: str, until: float) -> bool:
        """Void the subject's tokens that were issued until `until` (Unix seconds); whether that was news."""
        name = (tenant, subject)
        if self._until.get(name, 0.0) >= until:
            return False
        self._until[name] = until
        return True

    def covers(self, tenant: str, subject: str, issued: float | None) -> bool:
        """Whether a token is void; one that does not say when it was issued is older than any revocation."""
        until = self._until.get((tenant, subject))
        # `iat` mostly comes in whole seconds: one of the same second may have been before.
        return until is not None and (issued is None or issued <= until)
