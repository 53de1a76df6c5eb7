"""Token mode: what a bearer token proves (contract §6)."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Self

import msgspec

from orchestrator.auth.claims import Claims, Payload, claims_of
from orchestrator.auth.keys import FixedKey, Key, KeySource, public_key, secret_key
from orchestrator.auth.signatures import Header, Signatures
from orchestrator.auth.validity import JUDGED, Validity
from orchestrator.settings import Settings
from orchestrator.telemetry import Log

REMEMBERED_MAX: Final = 10_000
"""Tokens whose signatures need not be proven again: some 2 KB each."""


class _Known(msgspec.Struct, frozen=True):
    header: Header
    key: Key
    judged: Payload
    """What `Validity` looks at; the rest of the payload is not kept."""
    claims: Claims


class Tokens:
    """Verifies bearer tokens against the key of the settings.

    A token's bytes always mean the same, so what they were found to mean is remembered by their digest. What may change
    is judged every time: whether the key is still the one that fits, the times, and (by the caller) revocations.
    """

    def __init__(self, keys: KeySource, validity: Validity, names: Mapping[str, str]) -> None:
        self._keys: Final = keys
        self._signatures: Final = Signatures(keys)
        self._validity: Final = validity
        self._names: Final = names
        self._known: Final[OrderedDict[bytes, _Known]] = OrderedDict()

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
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._known.get(digest)
        if known is None or not await self._signatures.is_signed_by(known.key, known.header):
            return await self._learn(token, digest)
        self._known.move_to_end(digest)
        self._validity.check(known.judged)
        return known.claims

    async def _learn(self, token: str, digest: bytes) -> Claims:
        opened = await self._signatures.open(token)
        payload = opened.payload
        self._validity.check(payload)
        claims = claims_of(payload, self._names)
        judged = {name: payload[name] for name in JUDGED if name in payload}
        self._known[digest] = _Known(opened.header, opened.key, judged, claims)
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return claims


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
