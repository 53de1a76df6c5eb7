"""What was signed: a token is opened with the one key that fits it, or refused (RFC 8725)."""

from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, JWSRegistry
from joserfc.registry import Header as Members
from joserfc.util import urlsafe_b64decode

from orchestrator.auth.algorithms import ALL
from orchestrator.auth.claims import Payload, invalid_token
from orchestrator.auth.keys import Key, KeySource

MOST_BYTES: Final = 8192
FORMS_MAX: Final = 64
"""Headers that are remembered: an issuer has a few, of genuine tokens only."""

# What would bring or point to a key of the token's own, and what would change how it is read.
_REFUSED: Final = frozenset({"crit", "b64", "zip", "jwk", "jku", "x5c", "x5u"})

_WHAT_PARSING_RAISES: Final = (JoseError, msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_MALFORMED: Final = "the token is malformed"
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Header(msgspec.Struct, frozen=True):
    """What is read of a token's header."""

    alg: str
    kid: str | None = None
    typ: str | None = None


class _Registry(JWSRegistry):
    # One bound for the whole token instead of theirs for each part: a header of 512 bytes is soon too short.
    max_header_length = max_payload_length = max_signature_length = MOST_BYTES

    def __init__(self) -> None:
        # Unknown members of a header are no fault: RFC 7515 §4 has them ignored.
        super().__init__(algorithms=ALL, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        # `EdDSA` is the older name; theirs would warn at each token, and take other curves too.
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


class Opened(msgspec.Struct, frozen=True):
    """A token that was signed with a key of ours."""

    header: Header
    key: Key
    payload: Payload


class Signatures:
    """Opens tokens; a key decides which algorithm is used, the header only which key is asked."""

    def __init__(self, keys: KeySource) -> None:
        self._keys: Final = keys
        self._registry: Final = _Registry()
        self.forms: Final[dict[bytes, tuple[Members, Header]]] = {}
        """What headers say, by their bytes: to read one takes half of what a new token costs, and all are alike."""

    async def is_signed_by(self, key: Key, header: Header) -> bool:
        """Whether a token with this header would be opened with `key`; raises as `open` where there is none for it."""
        return await self._keys.find(header.alg, header.kid) is key

    async def open(self, token: str) -> Opened:
        """A token that was signed with a key of ours; raises `unauthorized` and `unavailable`."""
        signed, header = self._split(token)
        key = await self._keys.find(header.alg, header.kid)
        try:
            genuine = jws.validate_compact(signed, key.material, registry=self._registry)
        except _WHAT_PARSING_RAISES:
            genuine = False
        if not genuine:
            raise invalid_token("the token's signature is wrong", "signature")
        self._remember(token, signed, header)
        return Opened(header, key, _payload(signed))

    def _split(self, token: str) -> tuple[CompactSignature, Header]:
        if len(token) > MOST_BYTES:
            raise invalid_token(f"the token is longer than {MOST_BYTES} bytes")
        try:
            return self._parted(token.encode("ascii"))
        except _WHAT_PARSING_RAISES:
            raise invalid_token(_MALFORMED) from None

    def _parted(self, token: bytes) -> tuple[CompactSignature, Header]:
        """As the library does it; where the header is known only the rest is decoded."""
        parts = token.split(b".")
        form = self.forms.get(parts[0])
        if form is None:
            signed = jws.extract_compact(token, registry=self._registry)
            return signed, _header(signed)
        members, read = form
        header, payload, signature = parts
        signed = CompactSignature(members, urlsafe_b64decode(payload))
        signed.segments.update({"header": header, "payload": payload, "signature": signature})
        return signed, read

    def _remember(self, token: str, genuine: CompactSignature, header: Header) -> None:
        if len(self.forms) >= FORMS_MAX:
            self.forms.clear()
        self.forms[token.encode().partition(b".")[0]] = genuine.protected, header


def _header(signed: CompactSignature) -> Header:
    try:
        header = msgspec.convert(signed.protected, Header)
    except _WHAT_PARSING_RAISES:
        raise invalid_token(_MALFORMED) from None
    if not _REFUSED.isdisjoint(signed.protected):
        raise invalid_token("the token's header has a member that is not accepted here")
    if not _is_access(header.typ):
        raise invalid_token("the token is of a type that is not accepted here")
    return header


def _is_access(typ: str | None) -> bool:
    """Whether a token was made to open doors: other kinds that an issuer signs say so, like `logout+jwt`."""
    named = (typ or "").lower().removeprefix("application/")
    return named == "at+jwt" or not named.endswith("+jwt")


def _payload(signed: CompactSignature) -> Payload:
    try:
        return _decode(signed.payload)
    except _WHAT_PARSING_RAISES:
        raise invalid_token(_MALFORMED) from None
