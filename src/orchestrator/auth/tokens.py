"""Token mode: what a bearer token proves (contract §6)."""

import time
from collections.abc import Callable, Mapping
from typing import Final, Self

from orchestrator.auth.claims import Claims, claims_of
from orchestrator.auth.keys import FixedKey, KeySource, public_key, secret_key
from orchestrator.auth.signatures import Signatures
from orchestrator.auth.validity import Validity
from orchestrator.settings import Settings
from orchestrator.telemetry import Log


class Tokens:
    """Verifies bearer tokens against the key of the settings."""

    def __init__(self, keys: KeySource, validity: Validity, names: Mapping[str, str]) -> None:
        self._keys: Final = keys
        self._signatures: Final = Signatures(keys)
        self._validity: Final = validity
        self._names: Final = names

    @classmethod
    def from_settings(
        cls, settings: Settings, log: Log, *, now: Callable[[], float] = time.time
    ) -> Self | None:
        """What the settings ask for; None where no key is set and identity comes from headers."""
        keys = _keys(settings, log)
        if keys is None:
            return None
        validity = Validity(
            issuer=settings.jwt_issuer, audience=settings.jwt_audience, leeway=settings.jwt_leeway, now=now
        )
        return cls(keys, validity, settings.jwt_claims)

    @property
    def ready(self) -> bool:
        """Whether tokens can be verified; an issuer that goes away later changes nothing about it."""
        return self._keys.ready

    async def start(self) -> None:
        """Begin to fetch the issuer's keys, where they are fetched; does not wait for them."""
        await self._keys.start()

    async def close(self) -> None:
        """Stop it."""
        await self._keys.close()

    async def verify(self, token: str) -> Claims:
        """What `token` proves. Raises `unauthorized`, whatever is wrong with it, and a reason that never quotes it.

        Raises `unavailable` while the issuer's keys were never obtained.
        """
        payload = await self._signatures.open(token)
        self._validity.check(payload)
        return claims_of(payload, self._names)


def _keys(settings: Settings, log: Log) -> KeySource | None:
    chosen: Final = settings.jwt_algorithms
    if settings.jwt_secret is not None:
        return FixedKey(secret_key(settings.jwt_secret, chosen))
    if settings.jwt_public_key is not None:
        return FixedKey(public_key(settings.jwt_public_key, chosen))
    if settings.jwt_jwks_url is None:
        return None
    from orchestrator.auth.jwks import Jwks  # noqa: PLC0415 - brings an HTTP client along that only this needs

    return Jwks(settings.jwt_jwks_url, chosen, log)
