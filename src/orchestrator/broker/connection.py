"""One connection to one server, shared by every call of a process.

Calls made in one tick of the event loop leave as one write and one system call; replies come back in
order. Nothing is ever sent twice from here: whoever knows that a script is idempotent repeats it.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis

from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.link import Argument, Link, linked
from orchestrator.errors import OrchestratorError

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
    def unknown_function(self) -> bool:
        """Whether the server has not been given the function that was called."""
        return str(self).startswith("ERR Function not found")

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
        self._link: Link | None = None
        self._sending = False
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._outdated = False
        self.connected = False
        self.failure = "no answer yet"
        """Why the server is not reached, as far as it is known; without credentials."""

    def start(self) -> None:
        """Begin to connect; calls made before it succeeds wait for it."""
        self._loop = asyncio.get_running_loop()
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
        loop = self._loop or asyncio.get_running_loop()  # a system call, in Python 3.11
        reply: asyncio.Future[Reply] = loop.create_future()
        if self._closed:
            reply.set_exception(Unavailable("closed"))
            return reply
        self._unsent.append(_Call(args, reply, loop.time() + PATIENCE_SECONDS))
        if not self._sending:
            self._sending = True
            loop.call_soon(self._send)
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
        try:
            async with linked(self.endpoint, self._take, self._send) as link:
                self._link, self._outdated = link, False
                self.connected = True
                self._on_state(True, "")
                self._send()
                await link.over()
        finally:
            self._link = None
            self._fail(self._sent, ReplyLost("the connection broke"))

    def _send(self) -> None:
        self._sending = False
        if not self._link or self._link.full or self._outdated:
            return
        calls = [call for call in self._unsent if not call.reply.done()]
        self._unsent.clear()
        if not calls:
            return
        due = calls[0].reply.get_loop().time() + STALL_SECONDS
        for call in calls:
            call.due = due
        self._sent.extend(calls)
        self._link.send(call.args for call in calls)

    def _take(self, reply: Reply) -> None:
        call = self._sent.popleft()
        if isinstance(reply, hiredis.ReplyError):
            refused = _refused(str(reply))
            # Behind one address another server may be the primary by now; this one keeps our connection, for ever.
            self._outdated |= refused.kind == "READONLY"
            if not call.reply.done():
                call.reply.set_exception(refused)
        elif not call.reply.done():
            call.reply.set_result(reply)
        if self._outdated and self._link and not self._sent:
            self._link.close()

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


def _refused(text: str) -> Refused:
    return Moved(text) if text.startswith(("MOVED ", "ASK ")) else Refused(text)
