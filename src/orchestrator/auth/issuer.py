"""Where an issuer publishes its keys: one bounded request, to nobody but the address of the settings."""

import asyncio
import ssl
from typing import Final

import httpx2

MOST_BYTES: Final = 262_144


class IssuerError(Exception):
    """The keys could not be fetched; the text says why."""


class Issuer:
    """Fetches the document at `url`; `patience` bounds a whole request, in seconds."""

    def __init__(self, url: str, *, patience: float) -> None:
        self._url: Final = url
        self._patience: Final = patience
        self._tls: Final = trusted_by(url)

    async def document(self) -> bytes:
        """What is published there; raises `IssuerError`."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._read()
        except TimeoutError:
            raise IssuerError(f"no whole answer within {self._patience:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise IssuerError(f"{type(error).__name__}: {error}") from error

    async def _read(self) -> bytes:
        async with (
            # Neither a proxy nor a .netrc of the environment, and no redirect: whoever could lead this request
            # elsewhere could sign tokens.
            httpx2.AsyncClient(
                verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._patience
            ) as client,
            client.stream("GET", self._url, headers=_HEADERS) as response,
        ):
            if response.status_code != 200:
                raise IssuerError(f"it answered with status {response.status_code}")
            return await _bounded(response)


def trusted_by(url: str) -> ssl.SSLContext:
    """Whom to believe that an https address is theirs; SSL_CERT_FILE and SSL_CERT_DIR name others, as everywhere."""
    if url.lower().startswith("http:"):
        return ssl.SSLContext(
            ssl.PROTOCOL_TLS_CLIENT
        )  # nobody: it is not used, and reading all takes a while
    return httpx2.create_ssl_context()


_HEADERS: Final = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}


async def _bounded(response: httpx2.Response) -> bytes:
    # As it came: what is compressed though nobody asked for it is no set of keys, and cannot grow.
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MOST_BYTES:
            raise IssuerError(f"its answer is longer than {MOST_BYTES} bytes")
    return bytes(body)
