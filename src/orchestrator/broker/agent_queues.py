"""The lists between service and agents, from the agent's side: take a task, report on it, see what waits."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Self, cast

import msgspec

from orchestrator.broker.agent_reports import AgentReports
from orchestrator.broker.connection import Argument, BrokerError, ReplyLost
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.outages import AwayError, Outage, Outages
from orchestrator.broker.scripts import Scripts
from orchestrator.broker.topology import Topology

SCHEMES: Final = ("redis", "rediss", "unix", "redis+cluster")
PAGE: Final = 500
"""Elements of a queue that are looked at in one go."""

_GONE: Final = (b"taken", b"void")
"""What a marker holds once its attempt must not be taken any more."""
_UNKNOWN: Final = object()


class Taken(msgspec.Struct, frozen=True):
    """What a take brought: the payload, or None where somebody else was faster.

    Not `certain`: an answer was lost on its way, so that the task may be ours without our having it.
    """

    payload: bytes | None
    certain: bool = True


class Element(msgspec.Struct, frozen=True):
    """What was found in a queue, and how long its marker has to live."""

    task_id: str
    attempt: int
    payload: bytes
    marker_ms: int


class AgentQueues:
    """The agent's side of task queues and callback queues; open it with `async with`.

    `redis_url` has one of the schemes in `SCHEMES`, else ValueError. No method raises because
    Redis is away: what is idempotent is repeated until it is done, the rest answers as if there
    were nothing. `on_outage` hears of it once when it begins and once when it is over.
    """

    def __init__(self, redis_url: str, on_outage: Callable[[Outage], None]) -> None:
        check_url(redis_url)
        self._topology = Topology(Endpoint(redis_url))
        # What waits has connections of its own, so that it never holds back a report.
        self._waiting = Topology(Endpoint(redis_url))
        self.scripts: Final = Scripts(self._topology)
        self.waits: Final = Scripts(self._waiting)
        self.outages: Final = Outages(on_outage)
        self._reports = AgentReports(self.scripts, self.outages)

    async def __aenter__(self) -> Self:
        self._topology.start()
        self._waiting.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reports.close()
        await self._waiting.close()
        await self._topology.close()

    async def take(self, queue: str, task_id: str, attempt: int) -> Taken:
        """Removes an attempt from its queue: whoever does that owns it. Repeated until Redis answers."""
        certain = True
        while True:
            try:
                taking = self.scripts.run("take", queue, task_id, attempt)
                payload = cast("bytes | None", await self.outages.tried("take", taking))
            except AwayError as away:
                certain = certain and not isinstance(away.__cause__, ReplyLost)
                await self.outages.pause()
            else:
                return Taken(payload, certain or payload is not None)

    async def report(self, callback_queue: str, payload: bytes) -> None:
        """Pushes one callback; see `AgentReports`. Order is kept by awaiting one before the next."""
        await self._reports.push(callback_queue, payload)

    async def cancelled(self, cancel_keys: Sequence[str]) -> set[str]:
        """Those of `cancel_keys` that exist; none while Redis is away."""
        if not self._topology.is_cluster:
            (number,) = await self._each("watch", [(cancel_keys[0], "EXISTS", *cancel_keys)], instead=0)
            if not number:
                return set()  # nearly always
        found = await self._each("watch", [(key, "EXISTS", key) for key in cancel_keys], instead=0)
        return {key for key, exists in zip(cancel_keys, found, strict=True) if exists}

    async def depths(self, queues: Sequence[str]) -> list[int]:
        """How many elements each has; none while Redis is away."""
        return await self._each("look", [(queue, "LLEN", queue) for queue in queues], instead=0)

    async def newest(self, queue: str, start: int, count: int) -> list[bytes]:
        """`count` elements without the `start` newest, the oldest of them first."""
        end = start + count - 1
        (found,) = await self._each("look", [(queue, "LRANGE", queue, start, end)], instead=[])
        return found[::-1]

    async def mark(self, queue: str, found: Sequence[Element]) -> list[Element]:
        """Gives elements that came without one their markers; answers those that can be taken.

        An element whose attempt was taken or withdrawn before is one too many, and is removed.
        """
        marking = [(queue, "SET", *_marked(queue, element), "NX", "GET") for element in found]
        markers = await self._each("adopt", marking, instead=_UNKNOWN)
        waiting: list[Element] = []
        for element, marker in zip(found, markers, strict=True):
            if marker in _GONE:
                await self.remove(queue, element.payload)
            elif marker in (None, element.payload):
                waiting.append(element)
            elif marker is not _UNKNOWN:
                # The same attempt in other words: what lies in the list is what can be taken.
                await self._each("adopt", [(queue, "SET", *_marked(queue, element))], instead=None)
                waiting.append(element)
        return waiting

    async def remove(self, queue: str, payload: bytes) -> bool:
        """Takes one such element off the queue; False where there is none any more."""
        (removed,) = await self._each("adopt", [(queue, "LREM", queue, -1, payload)], instead=0)
        return bool(removed)

    async def _each(
        self, operation: str, commands: Sequence[tuple[str, *tuple[Argument, ...]]], *, instead: Any
    ) -> list[Any]:
        """The answers to commands, each at the server of its first member; `instead` where one failed."""
        calls = [self.scripts.command(*command) for command in commands]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BrokerError)]
        if failures:
            self.outages.began(operation, failures[0])
        else:
            self.outages.ended(operation)
        return [instead if isinstance(answer, BrokerError) else answer for answer in answers]


def _marked(queue: str, element: Element) -> tuple[Argument, ...]:
    """Key, value and life of the marker beside the queue, as `push.lua` sets it."""
    key = f"{{{queue}}}:t:{element.task_id}:{element.attempt}"
    return key, element.payload, "PX", element.marker_ms


def check_url(redis_url: str) -> None:
    """ValueError where the URL has none of the known schemes."""
    scheme, _, address = redis_url.partition("://")
    if scheme not in SCHEMES or not address:
        raise ValueError(f"a Redis URL begins with one of {', '.join(f'{known}://' for known in SCHEMES)}")
