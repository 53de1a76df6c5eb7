"""The load: conversations beside one another, each one message after the other."""

import asyncio
import secrets
from collections import Counter
from typing import Final

import httpx2
import msgspec

from orchestrator.auth.issuer import trusted_by
from orchestrator.bench.follower import Follower, following
from orchestrator.bench.report import Report, Trip, report_of
from orchestrator.bench.sender import Sender
from orchestrator.bench.target import BenchError, Target

MESSAGES_PER_SESSION: Final = 50
"""A session may send 100 an hour unless it is set otherwise; that limit is not what is measured."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """How much load."""

    messages: int
    concurrency: int
    message: str
    patience: float
    """Seconds for an answer, an ending, a socket, and for what a 429 asks to wait."""


async def put_on(target: Target, order: Order) -> Report:
    """Sends the messages and sees each to its ending, or what was sent before a session could not be followed.

    Raises `BenchError` where that was so from the first.
    """
    limits = httpx2.Limits(max_connections=order.concurrency, max_keepalive_connections=order.concurrency)
    async with httpx2.AsyncClient(
        verify=trusted_by(target.url), trust_env=False, timeout=order.patience, limits=limits
    ) as http:
        load = _Load(target, order, Sender(http, target, order.patience))
        return await load.run()


class _Load:
    def __init__(self, target: Target, order: Order, sender: Sender) -> None:
        self._target, self._order, self._sender = target, order, sender
        self._left = order.messages
        self._trips: list[Trip] = []
        self._closes: Counter[int] = Counter()
        self._fault: BenchError | None = None

    async def run(self) -> Report:
        async with asyncio.TaskGroup() as people:
            for _ in range(self._order.concurrency):
                people.create_task(self._talk_until_fault())
        if self._fault and not self._trips:
            raise self._fault
        return report_of(
            self._order.messages,
            self._trips,
            refusals=dict(self._sender.refusals),
            waited=self._sender.waited,
            reconnects={str(code): count for code, count in self._closes.items()},
            stopped=str(self._fault or ""),
        )

    async def _talk_until_fault(self) -> None:
        """A fault lets nobody send any more; who has sent waits for the ending."""
        try:
            await self._talk()
        except BenchError as fault:
            self._fault = self._fault or fault
            self._left = 0

    async def _talk(self) -> None:
        while self._left:
            session = f"bench-{secrets.token_hex(8)}"
            async with following(self._target, session, self._order.patience) as follower:
                try:
                    await self._converse(session, follower)
                finally:
                    self._closes += follower.closes

    async def _converse(self, session: str, follower: Follower) -> None:
        for _ in range(MESSAGES_PER_SESSION):
            if not self._left:
                break
            self._left -= 1
            await self._trip(session, follower)

    async def _trip(self, session: str, follower: Follower) -> None:
        accepted = await self._sender.send(session, self._order.message)
        if accepted is None:
            return
        seen = follower.sighting(accepted.task_id)
        try:
            await follower.ending(accepted.task_id, self._order.patience)
        finally:
            self._trips.append(
                Trip(
                    task_id=accepted.task_id,
                    sent=accepted.sent,
                    answered=accepted.answered,
                    first_chunk=seen.first_chunk,
                    ended=seen.ended,
                    ending=seen.ending,
                )
            )
