"""Finds out why tasks wait, and tells their viewers."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from orchestrator.broker.explanations import Asked, Explanations
from orchestrator.broker.keys import Keys
from orchestrator.broker.tasks import Tasks, Tell, Wait
from orchestrator.protocol.waiting import LOOKED_AT_MAX, NOTHING, Explanation, Place, Supply, Waiter, explain

_encode: Final = msgspec.json.Encoder().encode


class Explainer:
    """Asks the dispatch first, and the queue itself where agents take from it as they like."""

    def __init__(self, explanations: Explanations, tasks: Tasks, keys: Keys) -> None:
        self._explanations = explanations
        self._tasks = tasks
        self._keys = keys

    async def explain(self, tenant: str, waits: Sequence[Wait], within: int = 0) -> list[Explanation]:
        """Why each of a tenant's tasks waits, in the order asked; `within` bounds the look along a queue.

        Raises `BrokerError`.
        """
        asked = [Asked(wait.task, wait.attempt, wait.context, wait.tier) for wait in waits]
        known = await self._explanations.explain(self._keys.callbacks(tenant), asked)
        return list(
            await asyncio.gather(
                *(self._one(wait, *found, within) for wait, found in zip(waits, known, strict=True))
            )
        )

    async def tell(self, tenant: str, waits: Sequence[Wait]) -> None:
        """Tell the viewers of these tasks, where there is something new to tell. Raises `BrokerError`."""
        if not waits:
            return
        told = await self.explain(tenant, waits, LOOKED_AT_MAX)
        await self._tasks.tell(tenant, [_tell(*pair) for pair in zip(waits, told, strict=True)])

    async def _one(self, wait: Wait, place: Place | None, supply: Supply, within: int) -> Explanation:
        listed, more = None, False
        if not wait.held and wait.due_micros <= 0 and (place is None or not supply.workers):
            listed, more = await self._tasks.ahead(wait.queue, wait.task, wait.attempt, within)
        waiter = Waiter(
            context=wait.context,
            waited_seconds=wait.waited_micros / 1e6,
            held=wait.held,
            due_seconds=max(0.0, wait.due_micros / 1e6),
            listed=listed,
            listed_more=more,
        )
        return explain(waiter, place, supply)


def _tell(wait: Wait, told: Explanation) -> Tell:
    # Of the first of a queue there is nothing to say as long as nobody knows more.
    says = told.eta_seconds is not None or told.waiting_for is not None
    members = _encode(told).decode() if told != NOTHING else "{}"
    return Tell(wait.task, wait.attempt, members, says)
