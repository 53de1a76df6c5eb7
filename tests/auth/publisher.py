"""An issuer that publishes its keys: a real HTTP server on loopback, which can also misbehave."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from tests.auth.verifying import Lines, log_into
from tests.security.minting import Issuer

from orchestrator.auth.jwks import Jwks, Pace
from orchestrator.auth.tokens import Tokens
from orchestrator.auth.validity import Validity
from orchestrator.setting_table import SETTINGS

CALM = Pace(every=600, at_least=600, first_retry=600, patience=5)
"""Nothing happens by itself: the first fetch, and then only what a test brings about."""


class Publisher:
    """Answers each request with `status`, `headers` and `body`, once `gate` is open; or `trickles` for ever."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.body: bytes = b""
        self.requests: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.trickles = False
        self.port = 0
        self._connections: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self.port}/keys"

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return len(self.requests)

    def publish(self, *keys: Mapping[str, Any]) -> None:
        """What is published from now on."""
        self.body = json.dumps({"keys": keys}).encode()

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Self]:
        """Listens, at first on a port of its own."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await self._answer(writer)
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        await self.gate.wait()
        lines = [f"HTTP/1.1 {self.status} Answer", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + self.body)
        await writer.drain()
        while self.trickles:
            self.gate.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.gate.wait(), 0.005)
            writer.write(b" ")
            await writer.drain()


def public(issuer: Issuer, kid: str | None = None, **members: Any) -> dict[str, Any]:
    """The key of an issuer as it publishes it."""
    named = {} if kid is None else {"kid": kid}
    return {**issuer.public_jwk, **named, **members}


@asynccontextmanager
async def fetching(
    url: str, *, pace: Pace = CALM, lines: Lines | None = None, chosen: tuple[str, ...] | None = None
) -> AsyncGenerator[Tokens]:
    """A verifier that believes whoever publishes at `url`."""
    names = {
        setting.field.removeprefix("jwt_claim_"): setting.default or ""
        for setting in SETTINGS
        if setting.field.startswith("jwt_claim_")
    }
    source = Jwks(url, chosen, log_into([] if lines is None else lines), pace=pace)
    tokens = Tokens(source, Validity(issuer=None, audience=None, leeway=0), names)
    await tokens.start()
    try:
        yield tokens
    finally:
        await tokens.close()
