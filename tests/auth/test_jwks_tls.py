"""Over https the issuer has to prove that the address is its own."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.auth.publisher import Publisher, fetching, public
from tests.auth.verifying import Lines, honest
from tests.security.minting import rsa

from orchestrator.errors import Problem


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that vouches for itself, with its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "issuer.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    """The TLS of the issuer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def outcome(url: str, lines: Lines) -> str:
    """The user of a token whose key is fetched from `url`, or the code of the problem."""
    async with fetching(url, lines=lines) as tokens:
        try:
            return (await tokens.verify(rsa().mint({"kid": "a"}, **honest()))).user
        except Problem as problem:
            return problem.code


@pytest.fixture
async def publisher(certificate: Path) -> AsyncIterator[Publisher]:
    """An issuer with this certificate."""
    publisher = Publisher()
    publisher.publish(public(rsa(), "a"))
    async with publisher.serving(server_side(certificate)):
        yield publisher


async def test_nobody_vouches_for_itself(publisher: Publisher) -> None:
    """Keys are not taken from a server whose certificate no authority has signed."""
    lines: Lines = []

    assert await outcome(f"https://127.0.0.1:{publisher.port}/keys", lines) == "unavailable"
    assert "CERTIFICATE_VERIFY_FAILED" in lines[0]["error"]


async def test_the_environment_may_name_an_authority(
    publisher: Publisher, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE names who vouches for servers of one's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    assert await outcome(f"https://127.0.0.1:{publisher.port}/keys", []) == "ada"


async def test_a_certificate_of_another_host_is_not_enough(
    publisher: Publisher, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good certificate counts for its own name alone."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    assert await outcome(f"https://localhost:{publisher.port}/keys", []) == "unavailable"
