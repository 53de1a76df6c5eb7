"""Keeps two calls to Redis from setting out in one turn of the event loop."""

import asyncio


class OncePerTurn:
    """Remembers for the rest of a turn that something was done in it.

    Two calls to Redis that set out together arrive together and are answered together: the server stands still while
    both answers are handled, and we while it works on the next two. Apart, they alternate.
    """

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False
        """Whether it was done in this turn."""

    def note(self, loop: asyncio.AbstractEventLoop) -> None:
        """It is done now."""
        self.done = True
        loop.call_soon(self._forget)

    def _forget(self) -> None:
        self.done = False
