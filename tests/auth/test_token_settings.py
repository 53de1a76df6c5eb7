"""Token settings: what switches authentication on, and that no mistake in one leaves the service open."""

import re
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey
from tests.environment import faults, read
from tests.security.minting import Issuer, edwards, elliptic, rsa

from orchestrator.auth.keys import public_kind, secret_key
from orchestrator.settings import Settings

SECRET: Final = "x" * 32
KEYS: Final = ("JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL")
JWKS: Final = "https://id.example/keys"


@pytest.mark.parametrize(
    "environ",
    [
        {"JWT_SECRET": SECRET},
        {"JWT_PUBLIC_KEY": elliptic().public_pem, "JWT_AUDIENCE": "chat"},
        {"JWT_JWKS_URL": JWKS, "JWT_AUDIENCE": "chat"},
    ],
)
def test_a_key_switches_tokens_on(environ: dict[str, str]) -> None:
    """Any of the three keys switches authentication by tokens on, without a warning."""
    settings = read(**environ)

    assert settings.has_tokens
    assert settings.warnings == ()


def test_without_a_key_there_are_no_tokens() -> None:
    """Header mode is what there is without any token setting."""
    assert not read().has_tokens


@pytest.mark.parametrize("first", KEYS)
@pytest.mark.parametrize("second", KEYS)
def test_two_keys_are_a_fault(first: str, second: str) -> None:
    """Of the three keys one at most may be set."""
    values = {"JWT_SECRET": SECRET, "JWT_PUBLIC_KEY": elliptic().public_pem, "JWT_JWKS_URL": JWKS}
    found = faults(**{first: values[first], second: values[second]})

    if first == second:
        assert found == ()
    else:
        assert len(found) == 1
        assert "must be the only key" in found[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("JWT_ISSUER", "https://id.example"),
        ("JWT_AUDIENCE", "chat"),
        ("JWT_ALGORITHMS", "RS256"),
        ("JWT_LEEWAY", "30"),
        ("JWT_CLAIM_TENANT", "org"),
        ("JWT_CLAIM_SCOPE", "scp"),
    ],
)
def test_a_token_setting_without_a_key_is_a_fault(name: str, text: str) -> None:
    """Whoever sets one expects authentication, and the service does not run open in its place."""
    (fault,) = faults(**{name: text})

    assert fault.startswith(f"ORCHESTRATOR_{name}='{text}': has no effect without a key")
    assert all(f"ORCHESTRATOR_{key}" in fault for key in KEYS)
    assert faults(**{name: text}, JWT_JWKS_URL=JWKS) == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("JWT_SECRT", "JWT_SECRET"),
        ("JTW_SECRET", "JWT_SECRET"),
        ("SECRET_JWT", "JWT_SECRET"),
        ("JWTSECRET", "JWT_SECRET"),
        ("JWT_PUBLICKEY", "JWT_PUBLIC_KEY"),
        ("JWKS_URL", "JWT_JWKS_URL"),
        ("JWT_AUD", None),
        ("JWT_CLAIM_ROLE", "JWT_CLAIM_SCOPE"),
        ("JWT_X", None),
    ],
)
@pytest.mark.parametrize("key", ["", SECRET])
def test_a_misspelled_token_setting_is_a_fault(name: str, meant: str | None, key: str) -> None:
    """A name that was meant for tokens ends the start, with a key and without, and its value is not printed."""
    (fault,) = faults(**{name: "hunter2", "JWT_SECRET": key})

    assert fault.startswith(f"ORCHESTRATOR_{name}='***': is not a setting")
    assert meant is None or f"did you mean ORCHESTRATOR_{meant}?" in fault


def test_what_kubernetes_sets_is_no_mistake() -> None:
    """A service whose name begins like a token setting does not stop the start."""
    assert faults(JWT_SERVICE_HOST="10.0.0.7", JWT_PORT="tcp://10.0.0.7:80") == ()


@pytest.mark.parametrize("name", KEYS)
def test_an_empty_key_is_told(name: str) -> None:
    """An empty key counts as unset like any setting, but the start says that it makes nobody present a token."""
    settings = Settings.from_environment({f"ORCHESTRATOR_{name}": " "})

    assert not settings.has_tokens
    (warning,) = settings.warnings
    assert warning.startswith(f"ORCHESTRATOR_{name} is empty")


@pytest.mark.parametrize(("secret", "warned"), [("x" * 31, True), ("x" * 32, False)])
def test_a_short_secret_is_told(secret: str, warned: bool) -> None:
    """A secret of less than 32 bytes starts with a warning, which does not quote it."""
    warnings = read(JWT_SECRET=secret).warnings

    assert bool(warnings) is warned
    assert all("shorter than 32 bytes" in warning and secret not in warning for warning in warnings)


@pytest.mark.parametrize(("secret", "warned"), [("planted-xxxxxxx", True), ("planted-xxxxxxxx", False)])
def test_a_short_gateway_secret_is_told(secret: str, warned: bool) -> None:
    """So does a gateway secret that can be guessed by trying."""
    warnings = Settings.from_environment({"ORCHESTRATOR_GATEWAY_SECRET": secret}).warnings

    assert bool(warnings) is warned
    assert all("shorter than 16 characters" in warning and secret not in warning for warning in warnings)


def test_a_missing_audience_is_told() -> None:
    """Where others may hold tokens of the same issuer the start says that no audience is asked for."""
    (warning,) = read(JWT_JWKS_URL=JWKS).warnings

    assert warning.startswith("ORCHESTRATOR_JWT_AUDIENCE is not set")


@pytest.mark.parametrize(
    ("issuer", "kind"),
    [(rsa(), "RSA"), (elliptic(), "P-256"), (edwards(), "Ed25519")],
    ids=["RSA", "EC", "OKP"],
)
def test_a_public_key_may_stand_on_one_line(issuer: Issuer, kind: str) -> None:
    """The line ends of a key may be written as a backslash and an n."""
    pem = issuer.public_pem
    for text in (pem, pem.replace("\n", "\\n"), pem.replace("\n", "\r\n"), f"\n {pem}\n"):
        key = read(JWT_PUBLIC_KEY=text).jwt_public_key
        assert key is not None
        assert public_kind(key) == kind


PRIVATE: Final = ECKey.generate_key("P-256").as_pem(private=True).decode()
WEAK: Final = (
    generate_private_key(65537, 1024)  # noqa: S505 - as weak as it is meant to be
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
ODD: Final = OKPKey.generate_key("X25519")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ssh-rsa AAAAB3NzaC1yc2E", "cannot be read"),
        ("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "cannot be read"),
        (JWKS, "cannot be read"),
        ("ключ", "cannot be read"),
        (PRIVATE, "private key"),
        (PRIVATE.replace("\n", "\\n"), "private key"),
        (WEAK, "2048 to 8192 bits"),
        (ODD.as_pem(private=False).decode(), "neither RSA"),
        (ECKey.generate_key("secp256k1").as_pem(private=False).decode(), "neither RSA"),
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_a_fault(text: str, complaint: str) -> None:
    """Only a public key that tokens can be verified with is taken; the line says why, and nothing of the key."""
    (fault,) = faults(JWT_PUBLIC_KEY=text)

    assert fault.startswith("ORCHESTRATOR_JWT_PUBLIC_KEY='***': ")
    assert complaint in fault
    assert not re.search(r"MII|[A-Za-z0-9+/]{40}", fault.replace("ORCHESTRATOR", ""))


@pytest.mark.parametrize(
    "key", [elliptic().public_pem.replace("\n", "\\n"), "-----BEGIN RSA PRIVATE KEY-----"]
)
def test_a_key_in_pem_is_no_secret(key: str) -> None:
    """A public key as a shared secret would let everybody sign; it is refused."""
    (fault,) = faults(JWT_SECRET=key)

    assert "a key in PEM is no shared secret" in fault


@pytest.mark.parametrize(
    "url",
    ["https://id.example/keys", "https://10.0.0.1:8443/k?x=1", "http://127.0.0.1:9/k", "http://localhost/k", "http://[::1]:9/k"],
)  # fmt: skip
def test_keys_may_come_from_there(url: str) -> None:
    """Keys are fetched over https, or from this machine."""
    assert read(JWT_JWKS_URL=url).jwt_jwks_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example/keys", "http://10.0.0.1/k", "http://localhost.evil.example/k", "http://127.0.0.1.nip.io/k",
        "ftp://id.example/k", "file:///etc/keys", "https://", "id.example/keys", "https://id.example:99999/k",
        "https://id example/k", "https://id.example/\x7f", "https://клю.example/k", "https://[::1/k", "http://0.0.0.0/k",
    ],
)  # fmt: skip
def test_keys_may_not_come_from_there(url: str) -> None:
    """Whoever can change what is fetched can sign tokens: nothing else is allowed."""
    (fault,) = faults(JWT_JWKS_URL=url)

    assert "must be an https:// address, or an http:// one of this machine" in fault


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ({"JWT_SECRET": SECRET}, "RS256", "HS256, HS384, HS512"),
        ({"JWT_SECRET": SECRET}, "HS256,RS256", "HS256, HS384, HS512"),
        ({"JWT_PUBLIC_KEY": rsa().public_pem}, "HS256", "RS256, RS384, RS512, PS256, PS384, PS512"),
        ({"JWT_PUBLIC_KEY": rsa().public_pem}, "RS256,ES256", "RS256, RS384, RS512, PS256, PS384, PS512"),
        ({"JWT_PUBLIC_KEY": elliptic().public_pem}, "ES384", "ES256"),
        ({"JWT_PUBLIC_KEY": edwards().public_pem}, "ES256", "Ed25519, EdDSA"),
        ({"JWT_JWKS_URL": JWKS}, "RS256,HS256", "RS256, RS384"),
    ],
)
def test_algorithms_have_to_fit_the_key(key: dict[str, str], text: str, allowed: str) -> None:
    """An algorithm that the key cannot have is a fault: it would be a mistake, or confusion made possible."""
    (fault,) = faults(**key, JWT_ALGORITHMS=text)

    assert fault.startswith(
        f"ORCHESTRATOR_JWT_ALGORITHMS='{text}': does not fit ORCHESTRATOR_{next(iter(key))}"
    )
    assert f"must be of {allowed}" in fault


@pytest.mark.parametrize("text", ["none", "HS256,none", "RS1", ",", "HS256;HS512", "ES256K", "dir"])
def test_an_unknown_algorithm_is_a_fault(text: str) -> None:
    """Only algorithms that are known and sound can be named; `none` is not one."""
    (fault,) = faults(JWT_SECRET=SECRET, JWT_ALGORITHMS=text)

    assert "must be some of HS256" in fault


def test_algorithms_are_read_in_any_case() -> None:
    """Names are taken in whatever case they are written, once each."""
    assert read(JWT_SECRET=SECRET, JWT_ALGORITHMS="hs512, HS256,hs512").jwt_algorithms == ("HS512", "HS256")


def test_no_key_is_shown() -> None:
    """Neither the list for operators nor the object's own text shows a key."""
    settings = read(JWT_SECRET="hunter2" * 5)
    rows = {row.name: row.value for row in settings.shown()}

    assert rows["ORCHESTRATOR_JWT_SECRET"] == "***"
    assert "hunter2" not in repr(settings) + repr(rows)


def test_a_verifier_does_not_show_its_key() -> None:
    """What verifies does not show its secret, wherever it is printed."""
    assert "hunter2" not in repr(secret_key("hunter2" * 5, None))
