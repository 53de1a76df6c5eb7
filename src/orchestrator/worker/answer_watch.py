"""Watches for people's answers on behalf of all tasks that wait for one."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from orchestrator.broker.agent_inbox import Asked

_INTERVAL: Final = 0.5
"""Seconds; one pipeline each, whatever the number of tasks."""


class Answers(Protocol):
    """Looks answers up; None for each that is not there, and while Redis is away."""

    async def answers(self, asked: Sequence[Asked]) -> Sequence[bytes | None]: ...


class AnswerWatch:
    """Looks every interval, as long as somebody waits."""

    def __init__(self, source: Answers) -> None:
        self._source = source
        self._waiting: dict[asyncio.Future[bytes], Asked] = {}
        self._looking: asyncio.Task[None] | None = None

    async def now(self, asked: Asked) -> bytes | None:
        """The answer, if it is there."""
        (found,) = await self._source.answers([asked])
        return found

    async def wait(self, asked: Asked, within: float) -> bytes | None:
        """The answer as soon as it is there; None after `within` seconds."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting[answer] = asked
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(within):
                return await answer
        except TimeoutError:
            # It may have come since the last look.
            return await self.now(asked)
        finally:
            self._forget(answer)

    async def _look(self) -> None:
        while True:
            waiting = dict(self._waiting)
            found = await self._source.answers(list(waiting.values()))
            for answer, given in zip(waiting, found, strict=True):
                if given is not None and not answer.done():
                    answer.set_result(given)
            await asyncio.sleep(_INTERVAL)

    def _forget(self, answer: asyncio.Future[bytes]) -> None:
        del self._waiting[answer]
        if self._looking and not self._waiting:
            self._looking.cancel()
            self._looking = None
