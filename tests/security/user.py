"""A person with a token, who states nothing else about herself."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from tests.contract.client import Caller, Tenant
from tests.contract.event_stream import EventStream
from tests.contract.socket_client import Socket, watch
from tests.security.minting import HS256, Issuer, bearer
from tests.servers import OrchestratorServer


class User(Caller):
    """A frontend that proves who its user is by a token of `issuer`; further claims as with `Issuer.of`."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        tenant: Tenant,
        name: str = "ada",
        session_id: str | None = None,
        *,
        issuer: Issuer = HS256,
        **claims: Any,
    ) -> None:
        super().__init__(http, tenant, session_id)
        self.name = name
        self.token = issuer.of(tenant, name, **claims)

    @property
    def credential(self) -> dict[str, str]:
        """The token alone."""
        return bearer(self.token)

    @property
    def headers(self) -> dict[str, str]:
        """The token, and what it does not say: agent and session."""
        return {**self.credential, "X-Agent-ID": self.tenant.agent, "X-Session-ID": self.session_id}

    def at(self, http: httpx.AsyncClient) -> "User":
        """The same person and session at another server."""
        other = User(http, self.tenant, self.name, self.session_id)
        other.token = self.token
        return other

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> httpx.Response:
        """Any request with the token."""
        return await self.http.request(
            method, path, headers={**self.credential, **(headers or {})}, **request
        )


@asynccontextmanager
async def attend(
    server: OrchestratorServer, user: User, position: str | None = None, **parameters: str | None
) -> AsyncGenerator[Socket]:
    """A socket on the user's session whose handshake carried the token."""
    async with watch(
        server, user, position, options={"additional_headers": user.credential}, **parameters
    ) as socket:
        yield socket


async def stays(*sockets: Socket) -> None:
    """Every one of them still answers."""
    for socket in sockets:
        assert (await socket.answer({"type": "ping"}))["type"] == "pong"


async def stream_ends(stream: EventStream) -> None:
    """The server ends the stream."""
    with suppress(StopAsyncIteration, httpx.RemoteProtocolError):
        while True:
            await stream.event(10)
