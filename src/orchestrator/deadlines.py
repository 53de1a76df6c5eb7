"""Time limits of a block that share one timer, for what happens thousands of times a second."""

import asyncio
from math import inf
from types import TracebackType
from typing import Final

_APART_SECONDS: Final = 0.01
"""How far apart the timer goes off at least: what ends within is ended together."""


class Deadlines:
    """Gives blocks of one event loop a time limit as `asyncio.timeout` does, for a sixth of what that costs.

    That makes a timer for each and cancels it, mostly for nothing: 4.3 µs in place of 0.75.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self.open: set[Deadline] = set()
        """Those whose blocks are under way."""
        self.looks_at = inf
        """When the timer goes off, by the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> "Deadline":
        """A limit for a `with` block; raises `TimeoutError` at its end where it lasted longer."""
        loop = self._loop
        if loop is None:
            # To ask for it costs a system call in Python 3.11.
            loop = self._loop = asyncio.get_running_loop()
        return Deadline(self, loop, loop.time() + seconds)

    def look_at(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        """Have the timer go off by then."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.looks_at = loop.call_at(due, self._end_overdue, loop), due

    def _end_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        now, self._timer, self.looks_at = loop.time(), None, inf
        for deadline in [deadline for deadline in self.open if deadline.due <= now]:
            self.open.discard(deadline)
            deadline.end()
        if self.open:
            soonest = min(deadline.due for deadline in self.open)
            self.look_at(max(soonest, now + _APART_SECONDS), loop)


class Deadline:
    """The limit of one block; see `Deadlines.within`."""

    __slots__ = ("_all", "_cancelling", "_loop", "_task", "due", "over")

    def __init__(self, all_of_them: Deadlines, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._all = all_of_them
        self._loop = loop
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.due = due
        self.over = False
        """Whether the block was ended."""

    def end(self) -> None:
        """Cancel what the block waits for."""
        self.over = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a deadline needs a task that it can cancel")
        self._cancelling = task.cancelling()
        self._all.open.add(self)
        if self.due < self._all.looks_at:
            self._all.look_at(self.due, self._loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._all.open.discard(self)
        task, self._task = self._task, None
        if not self.over or task is None:
            return
        # Where somebody else has cancelled it besides, that is what counts.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
