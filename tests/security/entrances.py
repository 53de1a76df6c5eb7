"""The ways into a server with a token: a request, a handshake, the first frame of a socket, a stream, a ticket."""

import json
from typing import Any, Final

import httpx
from tests.contract.client import Tenant, problem, unique
from tests.contract.event_stream import events
from tests.contract.socket_client import closing, dial, socket_url
from tests.security.minting import bearer
from tests.servers import OrchestratorServer

INVALID: Final = 'error="invalid_token"'


class Entrances:
    """Every way into one server; a token has to fare the same at each."""

    def __init__(self, server: OrchestratorServer, http: httpx.AsyncClient, tenant: Tenant) -> None:
        self.server = server
        self.http = http
        self.tenant = tenant

    async def refuse(self, token: str) -> None:
        """Nobody gets in with `token`: 401 and 4401, and no answer repeats it."""
        session = unique("sess")
        for answer in await self._asked(token, session):
            problem(answer, 401, "unauthorized")
            assert INVALID in answer.headers["www-authenticate"], answer.headers
            assert token not in answer.text
        closed = [await self._by_frame(token, session)]
        if token.isascii():  # the client's library sends no other header
            closed.append(await self._by_handshake(token, session))
        for code, reason in closed:
            assert code == 4401, (code, reason)
            assert not token or token not in reason

    async def admit(self, token: str) -> None:
        """`token` opens every entrance."""
        session = unique("sess")
        statistics, ticket = await self._asked(token, session, with_stream=False)
        assert statistics.status_code == 200, statistics.text
        assert ticket.status_code == 201, ticket.text
        async with events(self.http, session, bearer(token)) as stream:
            assert (await stream.frame())["type"] == "connection_ack"
        async with dial(socket_url(self.server, session), additional_headers=bearer(token)) as socket:
            assert json.loads(await socket.recv())["type"] == "connection_ack"
        async with dial(socket_url(self.server, session)) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            assert [json.loads(await socket.recv())["type"] for _ in range(2)] == [
                "connection_ack",
                "authenticated",
            ]

    async def _asked(self, token: str, session: str, *, with_stream: bool = True) -> list[httpx.Response]:
        headers: Any = {b"Authorization": b"Bearer " + token.encode()}
        answers = [
            await self.http.get("/api/chat/stats", headers=headers),
            await self.http.post("/api/auth/ticket", headers={**headers, b"X-Session-ID": session.encode()}),
        ]
        if with_stream:
            answers.append(await self.http.get(f"/api/chat/sessions/{session}/events", headers=headers))
        return answers

    async def _by_handshake(self, token: str, session: str) -> tuple[int, str]:
        url = socket_url(self.server, session)
        async with dial(url, additional_headers=bearer(token)) as socket:
            return await closing(socket)

    async def _by_frame(self, token: str, session: str) -> tuple[int, str]:
        async with dial(socket_url(self.server, session)) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            return await closing(socket)
