"""`WS /ws/{session_id}`: the handshake, the reading side, and the close codes (contract §4)."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from orchestrator.admission.limits import Limits
from orchestrator.api.client_frames import Caller, ClientFrames
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
from orchestrator.delivery.connection import Connection, Gone, Write
from orchestrator.errors import Problem
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.budget import Budget
from orchestrator.telemetry import Log, LogEvent

REASON_MAX: Final = 123
"""Bytes that a close frame has for its reason."""
SIGNS_PER_SECOND: Final = 10
"""Budget of `ping` and `ack`, apart from the tier's for messages."""
SIGN_MAX: Final = 300
"""Characters of the longest `ack`, amply."""
_RETRY_MS: Final = (500, 3_000)
# Starlette makes an OSError of a send its own exception, which is no OSError.
_LEFT: Final = (OSError, RuntimeError, WebSocketDisconnect)
_COUNTED: Final = frozenset({*range(1000, 1015), 4400, 4401, 4403, 4408, 4429})

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


class SocketOutlet:
    """Frames to a WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._texts = cast("Texts", socket.scope["extensions"][TEXTS])
        self.closed_with: int | None = None

    @property
    def at_once(self) -> Write | None:
        """Writes text frames while the peer reads."""
        return self._write if self._texts.writable.is_set() else None

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write text frames as soon as the peer reads."""
        await self._texts.writable.wait()
        self._write(frames)

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame."""
        self.closed_with = code
        with suppress(*_LEFT):
            await self._socket.send({"type": "websocket.close", "code": code, "reason": reason})

    def _write(self, frames: Sequence[bytes]) -> None:
        try:
            self._texts.write_texts(frames)
        except OSError as error:
            raise Gone from error


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
        self._frames = frames
        self._limits = limits
        self._metrics = metrics
        self._log = log

    async def follow(self, socket: WebSocket) -> None:
        """Follow one session until either side ends it."""
        # Completed first and closed then, where something is wrong: a browser shows nothing else.
        await socket.receive()
        await socket.send({"type": "websocket.accept"})
        outlet = SocketOutlet(socket)
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
            await self._converse(socket, outlet, connection, Caller(identity))
        self._metrics.count(Counter.WEBSOCKETS_CLOSED, code_label(outlet.closed_with))

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

    async def _converse(
        self, socket: WebSocket, outlet: SocketOutlet, connection: Connection, caller: Caller
    ) -> None:
        named = {
            "tenant_id": connection.tenant,
            "session_id": connection.session,
            "connection_id": connection.id,
        }
        self._log.info(LogEvent.WEBSOCKET_OPENED, **named)
        reading = asyncio.create_task(self._read(socket, connection, caller, outlet))
        try:
            await self._following.write(connection)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            self._log.info(LogEvent.WEBSOCKET_CLOSED, code=outlet.closed_with or 1006, **named)

    async def _read(
        self, socket: WebSocket, connection: Connection, caller: Caller, outlet: SocketOutlet
    ) -> None:
        """Take frames as they come. This task never waits for the writer, so pongs are always seen."""
        now = asyncio.get_running_loop().time
        per_second = self._messages_per_second(connection)
        messages = Budget(per_second, 2 * per_second, now())
        signs = Budget(SIGNS_PER_SECOND, 2 * SIGNS_PER_SECOND, now())
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                outlet.closed_with = message.get("code", 1006)
                connection.leave()
                return
            text = message.get("text")
            if text is None:
                connection.close(1003, "binary frames are not understood")
                return
            if per_second != self._messages_per_second(connection):  # changed by an administrator
                per_second = self._messages_per_second(connection)
                messages = Budget(per_second, 2 * per_second, now())
            budget = signs if is_sign(text) else messages
            if budget.spend(now()):
                await self._frames.handle(connection, caller, text)
            elif budget.exhausted:
                connection.close(4429, retry_after())
                return
            else:
                told: dict[str, Any] = {"code": "rate_limited", "message": "too many frames"}
                self._frames.complain(connection, {}, told | {"retry_after": round(budget.wait_seconds, 3)})

    def _messages_per_second(self, connection: Connection) -> int:
        of_tier = self._limits.of_tier(connection.tier).messages_per_second
        return connection.own_limits.get("messages_per_second", of_tier)


class _Kind(msgspec.Struct):
    type: str = ""


_kind: Final = msgspec.json.Decoder(_Kind).decode


def code_label(code: int | None) -> str:
    """A close code as a label; a client may choose any of 4 000, and each would be kept as a figure for ever."""
    code = code or 1006
    return str(code) if code in _COUNTED else "other"


def is_sign(text: str) -> bool:
    """Whether a frame is a `ping` or `ack`, which have a budget of their own."""
    if len(text) > SIGN_MAX:
        return False
    try:
        return _kind(text).type in {"ping", "ack"}
    except (msgspec.MsgspecError, ValueError):
        return False


def retry_after() -> str:
    """The reason of 1012, 1013 and 4429: when to come back, spread so that not all come at once."""
    return json.dumps({"retry_after_ms": random.randint(*_RETRY_MS)}, separators=(",", ":"))


def _short(reason: str) -> str:
    return reason.encode()[:REASON_MAX].decode("utf-8", "ignore")
