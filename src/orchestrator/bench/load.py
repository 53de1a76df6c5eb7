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
from orchestrator.bench.target import Target

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
    """Sends the messages and sees each to its ending; raises `BenchError` where no session can be followed."""
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

    async def run(self) -> Report:
        people = [asyncio.create_task(self._talk()) for _ in range(self._order.concurrency)]
        try:
            await asyncio.gather(*people)
        finally:
            for person in people:
                person.cancel()
            await asyncio.gather(*people, return_exceptions=True)
        return report_of(
            self._order.messages,
            self._trips,
            refusals=dict(self._sender.refusals),
            waited=self._sender.waited,
            reconnects={str(code): count for code, count in self._closes.items()},
        )

    async def _talk(self) -> None:
        while self._left:
            session = f"bench-{secrets.token_hex(8)}"
            async with following(self._target, session, self._order.patience) as follower:
                for _ in range(MESSAGES_PER_SESSION):
                    if not self._left:
                        break
                    self._left -= 1
                    await self._trip(session, follower)
            self._closes += follower.closes

    async def _trip(self, session: str, follower: Follower) -> None:
        accepted = await self._sender.send(session, self._order.message)
        if accepted is None:
            return
        seen = await follower.ending(accepted.task_id, self._order.patience)
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
