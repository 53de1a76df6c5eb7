"""The checks of the settings, and of the issuer that they name."""

import pytest
from tests.auth.publisher import Publisher, public
from tests.diagnosis.conftest import codes, looked
from tests.environment import read
from tests.security.minting import rsa
from tests.servers import free_port

from orchestrator.diagnosis import configuration


async def test_settings() -> None:
    """A variable that looks like ours and has no effect is a warning; none is well."""
    assert codes(await looked(configuration.settings, read(LEASE="7"))) == [""]
    (finding,) = await looked(configuration.settings, read(LEESE="7"))
    assert (finding.code, "ORCHESTRATOR_LEESE" in finding.what) == ("setting_ignored", True)


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({}, ""),
        ({"HOST": "10.1.2.3", "GATEWAY_SECRET": "x" * 32}, ""),
        ({"HOST": "10.1.2.3", "JWT_SECRET": "x" * 40}, ""),
        ({"HOST": "10.1.2.3", "TRUST_HEADERS": "true"}, "headers_believed"),
    ],
    ids=["loopback", "gateway", "tokens", "nothing"],
)
async def test_identity(environ: dict[str, str], code: str) -> None:
    """Headers that nothing proves are a warning where other machines can send them."""
    assert codes(await looked(configuration.identity, read(**environ))) == [code]


async def test_issuer() -> None:
    """The keys are fetched, once; where nobody uses tokens there are none."""
    async with Publisher().serving() as publisher:
        publisher.publish(public(rsa(), "a"))
        settings = read(JWT_JWKS_URL=publisher.url)
        assert codes(await looked(configuration.issuer, settings)) == [""]
        assert publisher.asked == 1
    assert codes(await looked(configuration.issuer, read())) == [""]


async def test_issuer_that_is_away() -> None:
    """Nobody there, an error, or a document without a key: the keys cannot be fetched."""
    away = read(JWT_JWKS_URL=f"http://127.0.0.1:{free_port()}/keys")
    assert codes(await looked(configuration.issuer, away)) == ["issuer_unreachable"]
    async with Publisher().serving() as publisher:
        publisher.publish()
        settings = read(JWT_JWKS_URL=publisher.url)
        assert codes(await looked(configuration.issuer, settings)) == ["issuer_unreachable"]
        publisher.status = 500
        assert codes(await looked(configuration.issuer, settings)) == ["issuer_unreachable"]
