"""A socket after its handshake: what goes to it, what its client says, how it ends (contract §4)."""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from orchestrator.admission.limits import Limits
from orchestrator.api.client_frames import Caller, ClientFrames
from orchestrator.api.following import Following
from orchestrator.api.text_frames import Texts
from orchestrator.delivery.connection import Connection, Gone, Write
from orchestrator.metrics import Counter, Metrics
from orchestrator.protocol.budget import Budget
from orchestrator.telemetry import Log, LogEvent

SIGNS_PER_SECOND: Final = 10
"""Budget of `ping` and `ack`, apart from the tier's for messages."""
SIGN_MAX: Final = 300
"""Characters of the longest `ack`, amply."""
_RETRY_MS: Final = (500, 3_000)
_COUNTED: Final = frozenset({*range(1000, 1015), 4400, 4401, 4403, 4408, 4429})


class SocketOutlet:
    """Frames to a WebSocket."""

    __slots__ = ("_texts", "closed_with")

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self.closed_with: int | None = None

    @property
    def at_once(self) -> Write | None:
        """Writes text frames while the peer reads."""
        return self._write if self._texts.writable.is_open else None

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write text frames as soon as the peer reads."""
        await self._texts.writable.wait()
        self._write(frames)

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame."""
        self.closed_with = code
        with suppress(OSError, RuntimeError):
            await self._texts.send({"type": "websocket.close", "code": code, "reason": reason})

    def _write(self, frames: Sequence[bytes]) -> None:
        try:
            self._texts.write_texts(frames)
        except OSError as error:
            raise Gone from error


class Desk(NamedTuple):
    """What every conversation uses."""

    following: Following
    frames: ClientFrames
    limits: Limits
    metrics: Metrics
    log: Log

    def note_closed(self, code: int | None) -> None:
        """A socket was closed with this code."""
        self.metrics.count(Counter.WEBSOCKETS_CLOSED, code_label(code))


class Conversation:
    """Takes a client's frames as they come, beside the writer, so that pongs are always seen.

    There is a task only while something waits: sockets are many, and most of them say nothing.
    """

    __slots__ = (
        "_caller",
        "_connection",
        "_desk",
        "_messages",
        "_outlet",
        "_over",
        "_per_second",
        "_reading",
        "_signs",
        "_texts",
    )

    def __init__(
        self, desk: Desk, texts: Texts, outlet: SocketOutlet, connection: Connection, caller: Caller
    ) -> None:
        self._desk = desk
        self._texts = texts
        self._outlet = outlet
        self._connection = connection
        self._caller = caller
        self._per_second = 0
        self._messages: Budget | None = None
        self._signs: Budget | None = None
        self._reading: asyncio.Task[None] | None = None
        self._over = False

    def begin(self) -> None:
        """Take over from the handshake."""
        self._desk.log.info(LogEvent.WEBSOCKET_OPENED, **self._named())
        self._texts.hand_over(self._wake)
        self._desk.following.follow(self._connection, self._ended)
        self._wake()  # something may have come during the handshake

    def _wake(self) -> None:
        if self._reading is None and not self._over and self._texts.has_messages:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._rest)

    def _rest(self, done: asyncio.Task[None]) -> None:
        self._reading = None
        if not done.cancelled() and (fault := done.exception()):
            self._desk.log.error(LogEvent.UNEXPECTED_ERROR, exc_info=fault)
            self._connection.close(1011)
        self._wake()

    def _ended(self, fault: BaseException | None) -> None:
        self._over = True
        if self._reading:
            self._reading.cancel()
        if fault:
            self._desk.log.error(LogEvent.UNEXPECTED_ERROR, exc_info=fault)
        code = self._outlet.closed_with
        self._desk.log.info(LogEvent.WEBSOCKET_CLOSED, code=code or 1006, **self._named())
        self._desk.note_closed(code)
        self._texts.let_go()

    async def _read(self) -> None:
        while self._texts.has_messages and not self._over:
            await self._take(await self._texts.receive())

    async def _take(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        if message["type"] == "websocket.disconnect":
            self._over = True
            self._outlet.closed_with = message.get("code", 1006)
            self._connection.leave()
        elif text is None:
            self._over = True
            self._connection.close(1003, "binary frames are not understood")
        else:
            await self._take_text(text)

    async def _take_text(self, text: str) -> None:
        now = asyncio.get_running_loop().time()
        budget = self._budget(text, now)
        if budget.spend(now):
            await self._desk.frames.handle(self._connection, self._caller, text)
        elif budget.exhausted:
            self._over = True
            self._connection.close(4429, retry_after())
        else:
            told: dict[str, Any] = {"code": "rate_limited", "message": "too many frames"}
            told["retry_after"] = round(budget.wait_seconds, 3)
            self._desk.frames.complain(self._connection, {}, told)

    def _budget(self, text: str, now: float) -> Budget:
        """What the frame is counted against; an administrator may change the tier's."""
        if is_sign(text):
            if self._signs is None:
                self._signs = Budget(SIGNS_PER_SECOND, 2 * SIGNS_PER_SECOND, now)
            return self._signs
        per_second = self._messages_per_second()
        if self._messages is None or per_second != self._per_second:
            self._per_second, self._messages = per_second, Budget(per_second, 2 * per_second, now)
        return self._messages

    def _messages_per_second(self) -> int:
        of_tier = self._desk.limits.of_tier(self._connection.tier).messages_per_second
        return self._connection.own_limits.get("messages_per_second", of_tier)

    def _named(self) -> dict[str, str]:
        connection = self._connection
        return {
            "tenant_id": connection.tenant,
            "session_id": connection.session,
            "connection_id": connection.id,
        }


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
