"""Finds tasks that wait in a worker's queues without dispatch knowing: whoever pushes one need not tell anybody."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from orchestrator.broker.agent_queues import PAGE, AgentQueues, Element
from orchestrator.broker.dispatch import Waiting
from orchestrator.broker.keys import execution_queue
from orchestrator.broker.seat import Seat
from orchestrator.protocol.identifiers import is_valid_id
from orchestrator.protocol.tiers import DEFAULT_LIMITS, TIERS, Tier
from orchestrator.worker.slots import Slots
from orchestrator.worker.task import Address, Assignment, UnreadableTaskError, read_assignment

INTERVAL: Final = 0.25
"""Seconds between two looks of a worker that has a free slot."""
QUEUES_AT_ONCE: Final = 256
_PAGES_AT_ONCE: Final = 10
_READY_AT_ONCE: Final = 100
_MARKER_GRACE: Final = 60
"""Seconds that a marker outlives the deadline, as the service has it."""
_MOST_ATTEMPTS: Final = 2**31

Place = tuple[str, Tier]
Refuse = Callable[[UnreadableTaskError, str], Awaitable[None]]
"""Says that an element of this context is no task."""


class Adoption:
    """Compares the lengths of queues with what dispatch knows of them, and tells it of the rest.

    `found` is called when something waits. A worker without a free slot looks every `lazily` seconds
    only: its tasks may come from dispatch for ever, and those that it does not know would starve.
    """

    def __init__(
        self,
        queues: AgentQueues,
        seat: Seat,
        contexts: Sequence[str],
        *,
        refuse: Refuse,
        found: Callable[[], None],
    ) -> None:
        self._queues = queues
        self._seat = seat
        self._refuse = refuse
        self._found = found
        self._rounds = _rounds([(context, tier) for context in contexts for tier in TIERS])
        # How far a search of a queue went that found nothing new, and when the next may begin.
        self._searched: dict[Place, tuple[int, float]] = {}

    async def run(self, slots: Slots, lazily: float) -> None:
        """Looks for ever."""
        while True:
            due = time.monotonic() + lazily
            await self.look()
            await _pause()
            while not slots.free and time.monotonic() < due:
                await _pause()

    async def look(self) -> None:
        """One look at as many queues as one look may have; the next goes on after them."""
        places = next(self._rounds)
        depths = await self._queues.depths([execution_queue(*place) for place in places])
        lengths = {place: depth for place, depth in zip(places, depths, strict=True) if depth}
        known = await self._seat.known(list(lengths)) if lengths else None
        if known is None:
            return
        self._found()
        for (place, depth), waiting in zip(lengths.items(), known, strict=True):
            if depth > waiting:
                await self._search(place, depth, depth - waiting)
            else:
                self._searched.pop(place, None)

    async def _search(self, place: Place, depth: int, missing: int) -> None:
        """The newest are the likeliest to be unknown; each search that finds nothing new goes twice as far."""
        last, rest_until = self._searched.get(place, (0, 0.0))
        if time.monotonic() < rest_until:
            return
        reach = min(depth, max(missing, 2 * last))
        new = 0
        for start in reversed(range(0, reach, PAGE)[-_PAGES_AT_ONCE:]):
            page = await self._queues.newest(execution_queue(*place), start, min(PAGE, reach - start))
            new += await self._adopt(place, page)
            self._found()
        if new:
            self._searched.pop(place, None)
        else:
            # Attempts between a claim and its take are in the queue, too: they are gone at the next look.
            rest = 10 * INTERVAL if last and reach == depth else 0
            self._searched[place] = reach, time.monotonic() + rest

    async def _adopt(self, place: Place, page: Sequence[bytes]) -> int:
        """Markers first: what dispatch gives out can be taken."""
        homes: dict[tuple[str, int], str] = {}
        elements: list[Element] = []
        for payload in page:
            try:
                assignment = _readable(payload)
            except UnreadableTaskError as error:
                if await self._queues.remove(execution_queue(*place), payload):
                    await self._refuse(error, place[0])
                continue
            task = assignment.data
            elements.append(Element(task.task_id, task.attempt, payload, _marker_ms(assignment)))
            homes[task.task_id, task.attempt] = assignment.envelope.callback_queue
        waiting = [
            _waiting(place, element, homes[element.task_id, element.attempt])
            for element in await self._queues.mark(execution_queue(*place), elements)
        ]
        batches = [
            waiting[start : start + _READY_AT_ONCE] for start in range(0, len(waiting), _READY_AT_ONCE)
        ]
        return sum([await self._seat.adopt(batch) for batch in batches])


def _rounds(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """The places in turn, from a chance beginning so that workers do not all look at the same ones."""
    at_once = min(len(places), QUEUES_AT_ONCE)
    start = random.randrange(len(places))
    while True:
        yield [places[(start + i) % len(places)] for i in range(at_once)]
        start = (start + at_once) % len(places)


async def _pause() -> None:
    await asyncio.sleep(INTERVAL * random.uniform(0.8, 1.0))


def _readable(payload: bytes) -> Assignment:
    """The assignment, if its members can be part of keys; else UnreadableTaskError."""
    assignment = read_assignment(payload)
    task, home = assignment.data, assignment.envelope.callback_queue
    if not is_valid_id(task.task_id):
        raise UnreadableTaskError("task_id is no id", Address(task_id=task.task_id, callback_queue=home))
    if not 1 <= task.attempt < _MOST_ATTEMPTS:
        raise UnreadableTaskError(
            "attempt is no number of one", Address(task_id=task.task_id, callback_queue=home)
        )
    return assignment


def _marker_ms(assignment: Assignment) -> int:
    left = assignment.data.deadline.timestamp() - time.time()
    return round((max(left, 0) + _MARKER_GRACE) * 1000)


def _waiting(place: Place, element: Element, home: str) -> Waiting:
    context, tier = place
    return Waiting(element.task_id, element.attempt, context, tier, home, DEFAULT_LIMITS[tier].weight)
