"""How many tasks a worker has room for."""

import asyncio
from collections import deque
from contextlib import suppress


class Slots:
    """Room for `number` tasks at a time; a task that wants its slot back goes before any new one."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._returning: deque[asyncio.Future[None]] = deque()
        self._closed = False

    @property
    def free(self) -> int:
        """Room for new tasks."""
        return 0 if self._closed else self._free

    def close(self) -> None:
        """There is no room for new tasks from now on."""
        self._closed = True

    def reserve(self) -> int:
        """Takes all free slots, and says how many."""
        reserved = self.free
        self._free -= reserved
        return reserved

    def release(self, number: int = 1) -> None:
        """Gives slots back."""
        for _ in range(number):
            self._hand_on()

    async def take_again(self) -> None:
        """Takes one slot as soon as there is one."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._returning.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._returning.remove(turn)
            if not turn.cancelled():
                self.release()
            raise

    def _hand_on(self) -> None:
        while self._returning:
            turn = self._returning.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
