"""A client that writes a request's head and body in one piece, as browsers do with small ones; httpx makes two."""

import re
import ssl
from typing import Any, Final, cast

import httpcore
import httpx

_WITH_BODY: Final = re.compile(rb"\r\ncontent-length: *[1-9][^\0]*\r\n\r\n\Z", re.IGNORECASE).search


class AtOnce(httpx.AsyncHTTPTransport):
    """Connections over which a request goes whole."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=verify, network_backend=_Backend())


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.connect_tcp(*args, **kwargs))


class _Stream(httpcore.AsyncNetworkStream):
    """Keeps a head until its body comes."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not self._head and _WITH_BODY(buffer):
            self._head = buffer
            return
        head, self._head = self._head, b""
        await self._inner.write(head + buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
