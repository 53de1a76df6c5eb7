"""What a worker has in hand: one claimed attempt and the slot that it takes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from orchestrator.broker.dispatch import Claimed
from orchestrator.broker.seat import Attempt, Seat
from orchestrator.worker.execution import STOPPED, Execution
from orchestrator.worker.slots import Slots


class Hold:
    """From the claim of an attempt to the end of its execution, if there comes to be one."""

    def __init__(self, claimed: Claimed, slots: Slots) -> None:
        self.claimed = claimed
        self.execution: Execution | None = None
        self.certain = True
        """Whether it is known that the attempt is, or is not, this worker's."""
        self._slots = slots
        self._has_slot = True
        self._why: str | None = None

    @property
    def attempt(self) -> Attempt:
        """Task and attempt."""
        return self.claimed.task, self.claimed.attempt

    @property
    def stands_aside(self) -> bool:
        """Whether it waits without a slot."""
        return not self._has_slot

    async def run(self, execution: Execution) -> None:
        """Runs it, unless it was cancelled or handed over before it could begin."""
        self.execution = execution
        if self._why == STOPPED.code:
            await execution.hand_over()
            return
        if self._why:
            execution.cancel(self._why)
        await execution.run()

    def cancel(self, why: str) -> None:
        """Stops what runs, or keeps it from beginning."""
        self._why = self._why or why
        if self.execution:
            self.execution.cancel(why)

    async def lose(self) -> None:
        """Dispatch says that somebody else has it. Before the take the queue decides that."""
        if self.execution:
            await self.execution.lose()

    async def hand_over(self) -> None:
        """Stops what runs, for another worker to try it again."""
        self._why = self._why or STOPPED.code
        if self.execution:
            await self.execution.hand_over()

    def leave_slot(self) -> None:
        """Its slot is free for others."""
        if self._has_slot:
            self._has_slot = False
            self._slots.release()

    @asynccontextmanager
    async def standing_aside(self, seat: Seat) -> AsyncGenerator[None]:
        """Without a slot, and in nobody's place, while the block runs; one that is cancelled stays so."""
        self.leave_slot()
        try:
            await seat.pause(self.attempt)
            yield
        finally:
            if self.execution and not self.execution.cancelled:
                await self._slots.take_again()
                self._has_slot = True
                await seat.resume(self.attempt)
