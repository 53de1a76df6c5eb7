"""`WS /ws/{session_id}`: the handshake, and how it is refused (contract §4)."""

import asyncio
from collections.abc import Mapping
from typing import Final, cast

from starlette.websockets import WebSocket, WebSocketDisconnect

from orchestrator.admission.limits import Limits
from orchestrator.api.client_frames import Caller, ClientFrames
from orchestrator.api.conversation import Conversation, Desk, SocketOutlet, retry_after
from orchestrator.api.credentials import FIRST_FRAME_SECONDS, Credentials, NoCredentials, Pending, token_of
from orchestrator.api.following import Draining, Following, Full
from orchestrator.api.forwarded import asked_host
from orchestrator.api.headers import parameter, reader
from orchestrator.api.problems import count_credential
from orchestrator.api.text_frames import TEXTS, Texts
from orchestrator.auth.identifier import Identifier
from orchestrator.auth.identity import Identity
from orchestrator.auth.origins import Origins
from orchestrator.broker.connection import BrokerError
from orchestrator.errors import Problem
from orchestrator.metrics import Metrics
from orchestrator.telemetry import Log

REASON_MAX: Final = 123
"""Bytes that a close frame has for its reason."""

_CLOSE_CODES: Final[Mapping[str, int]] = {
    "missing_headers": 4400,
    "invalid_id": 4400,
    "invalid_tier": 4400,
    "unauthorized": 4401,
    "access_denied": 4403,
    "tier_mismatch": 4403,
    "session_denied": 4403,
    "insufficient_scope": 4403,
    "rate_limited": 4429,
    "unavailable": 1013,
}


class BinaryFrame(Exception):
    """A frame that is no text."""


class Sockets:
    """The WebSocket route."""

    def __init__(
        self,
        *,
        identifier: Identifier,
        credentials: Credentials,
        origins: Origins,
        following: Following,
        frames: ClientFrames,
        connections_max: int,
        limits: Limits,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._identifier = identifier
        self._credentials = credentials
        self._pending = Pending(of_all=connections_max)
        self._origins = origins
        self._following = following
        self._metrics = metrics
        self._desk = Desk(following, frames, limits, metrics, log)

    async def follow(self, socket: WebSocket) -> None:
        """Let a reader in or refuse it; who was let in goes on by itself when this returns."""
        # Completed first and closed then, where something is wrong: a browser shows nothing else.
        await socket.receive()
        await socket.send({"type": "websocket.accept"})
        texts = cast("Texts", socket.scope["extensions"][TEXTS])
        outlet = SocketOutlet(texts)
        try:
            identity, by_frame = await self._identify(socket)
            position = parameter(socket.query_params, "position")
            connection = await self._following.begin(outlet, identity, position, by_frame=by_frame)
        except Problem as problem:
            count_credential(problem, self._metrics)
            code = _CLOSE_CODES.get(problem.code, 1011)
            reason = _short(problem.detail or problem.title)
            await outlet.close(code, retry_after() if code in {1013, 4429} else reason)
        except BinaryFrame:
            await outlet.close(1003, "binary frames are not understood")
        except (Full, BrokerError):
            await outlet.close(1013, retry_after())
        except Draining:
            await outlet.close(1012, retry_after())
        except WebSocketDisconnect as left:
            outlet.closed_with = left.code
        else:
            Conversation(self._desk, texts, outlet, connection, Caller(identity)).begin()
            return
        self._desk.note_closed(outlet.closed_with)

    async def _identify(self, socket: WebSocket) -> tuple[Identity, bool]:
        """Who comes, and whether its first frame had to say so."""
        headers = socket.headers
        scheme = "https" if socket.scope["scheme"] == "wss" else "http"
        self._origins.check(headers, asked_host(socket.scope), scheme)
        self._identifier.check_gateway(headers)
        by_frame = False
        try:
            claims = await self._credentials.of(socket, "socket")
        except NoCredentials:
            claims, by_frame = await self._credentials.of_token(await self._first_token(socket)), True
        identity = reader(
            headers,
            socket.query_params,
            socket.path_params["session_id"],
            claims,
            headers_only=self._identifier.trusts_headers_only,
        )
        return identity, by_frame

    async def _first_token(self, socket: WebSocket) -> str:
        """The token of the first frame, which has to come soon; raises `unauthorized`, `rate_limited`."""
        with self._pending.one_of(socket.client.host if socket.client else ""):
            try:
                async with asyncio.timeout(FIRST_FRAME_SECONDS):
                    message = await socket.receive()
            except TimeoutError:
                detail = f"no token came within {FIRST_FRAME_SECONDS:g} s"
                raise Problem("unauthorized", detail, reason="missing") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        if message.get("bytes") is not None:
            raise BinaryFrame
        return token_of(message.get("text") or "")


def _short(reason: str) -> str:
    return reason.encode()[:REASON_MAX].decode("utf-8", "ignore")
