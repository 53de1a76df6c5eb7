"""Which signature algorithms a kind of key may carry: fixed here and by the settings, never by a token."""

from collections.abc import Mapping
from typing import Final, Literal

Kind = Literal["secret", "RSA", "P-256", "P-384", "P-521", "Ed25519"]

# The first of each kind is the default, but for Ed25519: `EdDSA` is the older name of the same.
OF_KIND: Final[Mapping[Kind, tuple[str, ...]]] = {
    "secret": ("HS256", "HS384", "HS512"),
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("Ed25519", "EdDSA"),
}
ALL: Final = tuple(name for names in OF_KIND.values() for name in names)


def algorithms_of(kind: Kind, chosen: tuple[str, ...] | None, own: str | None = None) -> frozenset[str]:
    """What a key of this kind may have signed with; empty where nothing fits.

    `chosen` are those of the settings, `own` the one that the key's publisher names.
    """
    possible = OF_KIND[kind]
    if own is not None:
        possible = () if own not in possible else possible if kind == "Ed25519" else (own,)
    if chosen is not None:
        return frozenset(possible).intersection(chosen)
    return frozenset(possible if kind == "Ed25519" else possible[:1])
