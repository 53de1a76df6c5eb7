"""What comes to a running task from its user: later messages, and answers to what it asked."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from orchestrator.broker.connection import BrokerError
from orchestrator.broker.outages import Outages
from orchestrator.broker.scripts import Scripts


class Asked(msgspec.Struct, frozen=True):
    """Which answer is meant: of this task, to this question."""

    callback_queue: str
    task_id: str
    question: str


class AgentInbox:
    """Reads the keys that lie beside the callback queue; while Redis is away nothing is there."""

    def __init__(self, scripts: Scripts, outages: Outages) -> None:
        self._scripts = scripts
        self._outages = outages

    async def inbox(self, callback_queue: str, task_id: str) -> list[bytes]:
        """The messages for the task, in the order in which they came; they stay where they are."""
        key = f"{{{callback_queue}}}:inbox:{task_id}"
        (found,) = await self._each([(key, "LRANGE", "0", "-1")])
        return cast("list[bytes]", found or [])

    async def answers(self, asked: Sequence[Asked]) -> list[bytes | None]:
        """The answer to each, None where nobody has answered yet."""
        return await self._each(
            [(f"{{{one.callback_queue}}}:answers:{one.task_id}", "HGET", one.question) for one in asked]
        )

    async def _each(self, reads: Sequence[tuple[str, str, *tuple[str, ...]]]) -> list[Any]:
        """What each command reads from its key; None where that failed."""
        calls = [self._scripts.command(key, command, key, *rest) for key, command, *rest in reads]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, BrokerError)]
        if failures:
            self._outages.began("inbox", failures[0])
        else:
            self._outages.ended("inbox")
        return [None if isinstance(answer, BrokerError) else answer for answer in answers]
