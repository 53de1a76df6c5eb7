"""How a worker gets its tasks: a fair turn over the queues of its contexts, a slot for each task."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.broker.agent_queues import AgentQueues, Taken
from orchestrator.broker.keys import execution_queue
from orchestrator.protocol.tiers import DEFAULT_LIMITS, TIERS, Tier

_WAIT: Final = 0.5
"""Seconds that one wait for a task lasts; a worker that stops lets it run out."""
_LOOK_AROUND: Final = 0.1


class Turns:
    """Whose queue is looked at first: tiers get tasks in proportion to their weights.

    Each tier has a clock that a task of it moves on by 1 / weight; the tier that is furthest
    behind comes first. Within a tier the context that was served longest ago comes first.
    """

    def __init__(self, context_ids: Sequence[str]) -> None:
        self._clocks: dict[Tier, float] = dict.fromkeys(reversed(TIERS), 0.0)
        self._contexts = {tier: list(context_ids) for tier in TIERS}

    def queues(self) -> list[str]:
        """All queues, the one whose turn it is first."""
        tiers = sorted(self._clocks, key=self._clocks.__getitem__)
        return [execution_queue(context, tier) for tier in tiers for context in self._contexts[tier]]

    def took(self, context_id: str, tier: Tier) -> None:
        """A task came from this queue, so all that stood before it were empty."""
        now = self._clocks[tier]
        # A tier that had nothing to do may not save up turns for later.
        for other, clock in self._clocks.items():
            self._clocks[other] = max(clock, now)
        self._clocks[tier] = now + 1 / DEFAULT_LIMITS[tier].weight
        self._contexts[tier].remove(context_id)
        self._contexts[tier].append(context_id)


class Claims:
    """Takes tasks one by one, each only when `slots` has room; `accept` frees the slot later.

    One wait serves all queues; in a Cluster each waits on a connection of its own.
    """

    def __init__(
        self,
        queues: AgentQueues,
        context_ids: Sequence[str],
        slots: asyncio.Semaphore,
        accept: Callable[[str, bytes], None],
    ) -> None:
        self._queues = queues
        self._slots = slots
        self._accept = accept
        self._turns = Turns(context_ids)
        self._places: dict[str, tuple[str, Tier]] = {
            execution_queue(context_id, tier): (context_id, tier)
            for context_id in context_ids
            for tier in TIERS
        }
        self._waits = 0
        self._stopping = False

    async def run(self) -> None:
        """Takes tasks until `stop`, and then until the last wait has run out."""
        lanes = list(self._places) if self._queues.in_cluster else [""]
        async with asyncio.TaskGroup() as group:
            for queue in lanes:
                group.create_task(self._lane(queue))

    def stop(self) -> None:
        """Takes nothing more."""
        self._stopping = True

    async def _lane(self, queue: str) -> None:
        while not self._stopping:
            await self._slots.acquire()
            taken = None if self._stopping else await self._take(queue)
            if taken and not self._stopping:
                self._begin(taken)
                continue
            self._slots.release()
            if taken:
                await self._queues.give_back(taken)

    def _begin(self, taken: Taken) -> None:
        context_id, tier = self._places[taken.queue]
        self._turns.took(context_id, tier)
        self._accept(context_id, taken.payload)

    async def _take(self, queue: str) -> Taken | None:
        if not self._queues.in_cluster:
            return await self._queues.take(self._turns.queues(), _WAIT)
        self._waits += 1
        try:
            # While tasks hold the slots of other lanes, those that wait look after their queues
            # too: together about ten times a second.
            all_wait = self._waits == len(self._places)
            wait = _WAIT if all_wait else min(_WAIT, _LOOK_AROUND * self._waits)
            order = self._turns.queues()
            return await self._queues.take_now(order) or await self._queues.take([queue], wait)
        finally:
            self._waits -= 1
