"""A worker's seat at dispatch: what it serves, what it is given, what it is told."""

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import msgspec

from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.broker.connection import BrokerError, Refused
from orchestrator.broker.dispatch import Claimed, Dispatch, Waiting, wake_key
from orchestrator.broker.outages import AwayError
from orchestrator.protocol.tiers import Tier

Attempt = tuple[str, int]
"""Task and attempt."""

_WAIT: Final = 1
"""Seconds that one wait for news lasts; well under the time after which a connection is given up."""


class Over(msgspec.Struct, frozen=True):
    """Attempts with which a worker is through: it ran them, or somebody else had been faster."""

    ran: list[Attempt] = []
    missed: list[Attempt] = []


class Turn(msgspec.Struct, frozen=True):
    """What came of a turn; what did not come through has to be repeated."""

    claimed: list[Claimed] | None
    """None where nothing is known of the claim."""
    told: bool
    """Whether dispatch knows what is over."""


class News(msgspec.Struct, frozen=True):
    """What a worker is told: that there may be a task for it, or that one it has is `gone`."""

    look: bool = False
    gone: Attempt | None = None


class Seat:
    """One start of a worker, under a name that no other has.

    No method raises because Redis is away: they answer None, or as if there were nothing.
    """

    def __init__(self, queues: AgentQueues, contexts: Sequence[str], slots: int, lease: float) -> None:
        self.worker: Final = secrets.token_hex(8)
        self._dispatch = Dispatch(queues.scripts.run)
        self._waits = queues.waits
        self._outages = queues.outages
        self._contexts = contexts
        self._slots = slots
        self._lease_ms = round(lease * 1000)
        self._registered = False
        self._left = False
        self._failed = False

    async def turn(self, over: Over, slots: int | None) -> Turn:
        """What is over is told and at most `slots` new attempts are claimed, in one go.

        With 0 slots what this worker was woken for is offered to another one; with None nothing
        is claimed. A turn that follows one that failed waits a moment.
        """
        if self._failed:
            await self._outages.pause()
        if not self._registered and not self._left:
            # Before its answer: whatever is heard meanwhile may mean that it has to be done again.
            self._registered = True
            self._registered = bool(await self._tried("register", self._register())) and self._registered
        # What is claimed is this worker's, whatever becomes of the other calls.
        ran, missed, claimed = await asyncio.gather(
            self._told(over.ran, ran=True), self._told(over.missed, ran=False), self._claim(slots)
        )
        turn = Turn(claimed, told=ran and missed)
        self._failed = claimed is None or not turn.told
        if self._failed:
            self._registered = False
        return turn

    async def beat(self, held: Sequence[Claimed]) -> list[Claimed] | None:
        """Says that it lives and goes on with what it has; those that are not its own any more.

        None where Redis has not answered, so that nobody knows.
        """
        renewing = self._dispatch.renew(self.worker, self._lease_ms, held)
        answers = await self._tried("renew", asyncio.gather(renewing, self._register()))
        return answers[0] if answers else None

    async def news(self) -> News:
        """Waits a second for news."""
        key = wake_key(self.worker)
        try:
            found = await self._waits.command(key, "BLPOP", key, _WAIT)
        except BrokerError as error:
            if isinstance(error, Refused):
                self._outages.began("wake", error)
            # Nobody knows what was not heard meanwhile, nor whether Redis still knows this worker.
            self._registered = False
            await self._outages.pause()
            return News(look=True)
        if found is None:
            return News()
        what, *which = found[1].decode().split(" ")
        return News(gone=(which[0], int(which[1]))) if what == "gone" else News(look=True)

    async def known(self, places: Sequence[tuple[str, Tier]]) -> list[int] | None:
        """How many attempts dispatch knows to be waiting, for each context and tier."""
        return await self._tried("known", self._dispatch.known(places))

    async def adopt(self, found: Sequence[Waiting]) -> int:
        """Tells dispatch of attempts that wait; how many it did not know."""
        return await self._tried("adopt", self._dispatch.ready(found, adopted=True)) or 0

    async def pause(self, attempt: Attempt) -> None:
        """The attempt waits for a person: it takes nobody's place meanwhile."""
        await self._tried("pause", self._dispatch.pause(*attempt))

    async def resume(self, attempt: Attempt) -> None:
        """It goes on."""
        await self._tried("resume", self._dispatch.resume(*attempt))

    async def leave(self) -> None:
        """Takes nothing more; what it has stays its own for as long as it says so."""
        self._left = True
        await self._tried("leave", self._dispatch.leave(self.worker))

    async def _told(self, attempts: Sequence[Attempt], *, ran: bool) -> bool:
        if not attempts:
            return True
        try:
            await self._outages.tried("finish", self._dispatch.finish(attempts, self.worker, ran=ran))
        except AwayError:
            return False
        return True

    async def _claim(self, slots: int | None) -> list[Claimed] | None:
        if slots is None:
            return []
        return await self._tried("claim", self._dispatch.claim(self.worker, self._lease_ms, slots))

    async def _register(self) -> bool:
        if not self._left:
            await self._dispatch.register(self.worker, self._contexts, self._slots, self._lease_ms)
        return True

    async def _tried(self, operation: str, call: Awaitable[Any]) -> Any:
        try:
            return await self._outages.tried(operation, call)
        except AwayError:
            return None
