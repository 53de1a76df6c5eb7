"""Keys that verify tokens: what each is made of, and the few algorithms that it is good for."""

from typing import Final, Protocol

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jwk import Key as Material

from orchestrator.auth.algorithms import Kind, algorithms_of
from orchestrator.auth.claims import invalid_token

LEAST_RSA_BITS: Final = 2048
MOST_RSA_BITS: Final = 8192

_CURVES: Final[dict[str, Kind]] = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


class Key(msgspec.Struct, frozen=True):
    """One key, and the algorithms that it verifies."""

    material: Material
    algorithms: frozenset[str]
    kid: str | None = None

    def __repr__(self) -> str:
        # A traceback that shows this object must not show a secret.
        return f"Key({sorted(self.algorithms)})"


class KeySource(Protocol):
    """Where keys come from."""

    async def find(self, algorithm: str, kid: str | None) -> Key:
        """The one key that a token of this header can have been signed with.

        Raises `unauthorized` where there is none, `unavailable` where nobody knows yet.
        """
        ...

    @property
    def ready(self) -> bool:
        """Whether there are keys; once there are, there always are."""
        ...

    async def start(self) -> None:
        """Begin to fetch."""
        ...

    async def close(self) -> None:
        """Stop it."""
        ...


class FixedKey:
    """The one key of the settings; what a token calls it does not matter."""

    def __init__(self, key: Key) -> None:
        self._key: Final = key

    async def find(self, algorithm: str, kid: str | None) -> Key:
        """The key, for its own algorithms."""
        if algorithm not in self._key.algorithms:
            raise invalid_token(
                "the token is signed with an algorithm that is not accepted here", "signature"
            )
        return self._key

    @property
    def ready(self) -> bool:
        """It is there from the beginning."""
        return True

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""


def secret_key(secret: str, chosen: tuple[str, ...] | None) -> Key:
    """A shared secret as a key."""
    raw = secret.encode()
    # Not `import_key`: its checks are made by the settings, and this one is called with made-up secrets too.
    return Key(OctKey(raw, raw), algorithms_of("secret", chosen))


def public_key(pem: str, chosen: tuple[str, ...] | None) -> Key:
    """A public key in PEM as a key; raises ValueError with a sentence for one that is none."""
    kind, material = kind_of(_loaded(pem))
    return Key(material, algorithms_of(kind, chosen))


def public_kind(pem: str) -> Kind:
    """Which kind of key this is; raises ValueError with a sentence for one that is none."""
    return kind_of(_loaded(pem))[0]


def _loaded(pem: str) -> object:
    if "PRIVATE KEY" in pem:
        raise ValueError("this is a private key, which has no business here")
    try:
        return load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("this cannot be read") from None


def kind_of(loaded: object) -> tuple[Kind, Material]:
    """Which kind of key this is; raises ValueError for one that no algorithm here goes with."""
    if isinstance(loaded, RSAPublicKey):
        if not LEAST_RSA_BITS <= loaded.key_size <= MOST_RSA_BITS:
            raise ValueError(f"an RSA key has {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits here")
        return "RSA", RSAKey.import_key(loaded)
    if isinstance(loaded, EllipticCurvePublicKey) and loaded.curve.name in _CURVES:
        return _CURVES[loaded.curve.name], ECKey.import_key(loaded)
    if isinstance(loaded, Ed25519PublicKey):
        return "Ed25519", OKPKey.import_key(loaded)
    raise ValueError("this is neither RSA, nor of P-256, P-384, P-521 or Ed25519")
