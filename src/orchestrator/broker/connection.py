"""One connection to one server, shared by every call of a process.

Calls made in one tick of the event loop leave as one write and one system call; replies come back in
order. Nothing is ever sent twice from here: whoever knows that a script is idempotent repeats it.
"""

import asyncio
import contextlib
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from orchestrator.broker.endpoint import CONNECT_TIMEOUT_SECONDS, Endpoint
from orchestrator.errors import OrchestratorError

Argument = str | bytes | int | float
Reply = Any
OnState = Callable[[bool, str], None]
"""Is told whether the server is reached, and if not why."""

PATIENCE_SECONDS: Final = 1.5
"""How long a call waits for a connection before it is certainly not made."""
STALL_SECONDS: Final = 3.0
"""How long a reply may take; then the connection is given up and the outcome of its calls is unknown."""
_BACKOFF_SECONDS: Final = (0.05, 1.0)


class BrokerError(OrchestratorError):
    """Redis did not do what it was asked."""


class Unavailable(BrokerError):
    """Redis was certainly not reached: nothing has happened."""


class ReplyLost(BrokerError):
    """The connection broke after the call was sent: it may have happened."""


class Refused(BrokerError):
    """Redis answered with an error: the call did nothing, unless a right was missing within a script."""

    @property
    def kind(self) -> str:
        """The first word of the server's error, like `WRONGTYPE`."""
        return str(self).split(" ", 1)[0]

    @property
    def lacks_right(self) -> bool:
        """Whether the user may not do it."""
        return self.kind == "NOPERM" or self.within_script

    @property
    def within_script(self) -> bool:
        """Whether a script was stopped at a command that the user may not send; what it did before stays done."""
        return "ACL failure in script" in str(self)


class _Call:
    __slots__ = ("args", "due", "reply")

    def __init__(self, args: tuple[Argument, ...], reply: asyncio.Future[Reply], due: float) -> None:
        self.args, self.reply, self.due = args, reply, due


class Wire:
    """A pipelined connection that comes back by itself.

    `on_state` is told when the server is reached and, with the reason, when it is lost.
    """

    def __init__(self, endpoint: Endpoint, on_state: OnState | None = None) -> None:
        self.endpoint = endpoint
        self._on_state = on_state or _nobody_asks
        self._unsent: deque[_Call] = deque()
        self._sent: deque[_Call] = deque()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self._outdated = False
        self.connected = False
        self.failure = "no answer yet"
        """Why the server is not reached, as far as it is known; without credentials."""

    def start(self) -> None:
        """Begin to connect; calls made before it succeeds wait for it."""
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._watch())]

    async def close(self) -> None:
        """End the connection; calls without a reply fail."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail(self._unsent, Unavailable("closed"))

    def call(self, *args: Argument) -> asyncio.Future[Reply]:
        """Send one command with the others of this tick; the future gives its reply.

        Raises, through the future: `Unavailable`, `ReplyLost`, `Refused`.
        """
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Reply] = loop.create_future()
        if self._closed:
            reply.set_exception(Unavailable("closed"))
            return reply
        self._unsent.append(_Call(args, reply, loop.time() + PATIENCE_SECONDS))
        self._wake.set()
        return reply

    async def _run(self) -> None:
        low, high = _BACKOFF_SECONDS
        delay = low
        while True:
            try:
                await self._converse()
                delay = low
            except Exception as error:  # noqa: BLE001 - whatever it is, the wire has to come back
                if self.connected:
                    delay = low
                self._lost(error)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(high, delay * 2)

    async def _converse(self) -> None:
        connection = self.endpoint.connection()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await connection.connect()
            self.connected = True
            self._on_state(True, "")
            self._outdated = False
            self._wake.set()
            reading = asyncio.create_task(self._read(connection))
            writing = asyncio.create_task(self._write(connection))
            try:
                await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
                for task in (reading, writing):
                    if task.done():
                        task.result()
            finally:
                for task in (reading, writing):
                    task.cancel()
                await asyncio.gather(reading, writing, return_exceptions=True)
        finally:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=True)
            self._fail(self._sent, ReplyLost("the connection broke"))

    async def _write(self, connection: Any) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._unsent or self._outdated:
                continue
            calls = [call for call in self._unsent if not call.reply.done()]
            self._unsent.clear()
            due = asyncio.get_running_loop().time() + STALL_SECONDS
            for call in calls:
                call.due = due
            self._sent.extend(calls)
            packed = connection.pack_commands([call.args for call in calls])
            await connection.send_packed_command(packed, check_health=False)

    async def _read(self, connection: Any) -> None:
        # Behind one address another server may be the primary by now; this one keeps our connection, for ever.
        while self._sent or not self._outdated:
            try:
                reply, error = (
                    await connection.read_response(timeout=math.inf, disconnect_on_error=False),
                    None,
                )
            except ResponseError as refusal:
                reply, error = None, refusal
            call = self._sent.popleft()
            self._outdated |= isinstance(error, ReadOnlyError)
            if call.reply.done():
                continue
            if error is not None:
                call.reply.set_exception(_translated(error))
            else:
                call.reply.set_result(reply)

    async def _watch(self) -> None:
        """Give up calls whose time is over; one timer for all of them instead of one each."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.25)
            now = loop.time()
            while self._unsent and self._unsent[0].due < now:
                call = self._unsent.popleft()
                if not call.reply.done():
                    call.reply.set_exception(Unavailable(f"Redis cannot be reached: {self.failure}"))
            if self._sent and self._sent[0].due < now:
                self._tasks[0].cancel()
                await asyncio.gather(self._tasks[0], return_exceptions=True)
                self._lost(TimeoutError("no reply"))
                self._tasks[0] = asyncio.create_task(self._run())

    def _lost(self, error: BaseException) -> None:
        self.connected = False
        self.failure = str(error) or type(error).__name__
        self._on_state(False, self.failure)
        self._fail(self._sent, ReplyLost(f"the connection broke: {type(error).__name__}"))

    @staticmethod
    def _fail(calls: deque[_Call], error: BrokerError) -> None:
        while calls:
            call = calls.popleft()
            if not call.reply.done():
                call.reply.set_exception(error)
                call.reply.exception()  # one nobody waits for any more is no warning


def _nobody_asks(up: bool, failure: str) -> None:
    """For a wire whose state nobody wants to know."""
    del up, failure


class Moved(Refused):
    """The key's slot is served by another node of the Cluster."""


def _translated(error: ResponseError) -> Refused:
    # redis-py strips the first word of errors that it has a class for; `Refused.kind` needs it.
    kinds = {
        "MovedError": "MOVED",
        "AskError": "ASK",
        "NoScriptError": "NOSCRIPT",
        "ReadOnlyError": "READONLY",
        "OutOfMemoryError": "OOM",
        "NoPermissionError": "NOPERM",
        "BusyLoadingError": "LOADING",
        "ClusterDownError": "CLUSTERDOWN",
        "TryAgainError": "TRYAGAIN",
        "MasterDownError": "MASTERDOWN",
    }
    kind = kinds.get(type(error).__name__)
    text = f"{kind} {error}" if kind and not str(error).startswith(kind) else str(error)
    return Moved(text) if kind in {"MOVED", "ASK"} else Refused(text)
