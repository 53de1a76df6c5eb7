"""Everybody who takes part in the dispatch, each of whom may die or be late, and the truth that tells who was right."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

from tests.servers import wait_until

from orchestrator.broker.admissions import Admissions
from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import Reply
from orchestrator.broker.dispatch import Claimed, Dispatch, Waiting, wake_key
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.keys import execution_queue
from orchestrator.broker.topology import Topology

CONTEXTS: Final = ("agent-1", "agent-2", "workflow-3")
LEASE_MS: Final = 400
"""Long enough for a few calls on a busy machine: shorter, runs would be taken from the living for ever."""
QUEUES: Final = [execution_queue(context, "free") for context in CONTEXTS]


class Truth:
    """What the tenants' records would say: the attempt that counts, and how tasks ended."""

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self.endings: Counter[str] = Counter()
        self.runs: Counter[tuple[str, int]] = Counter()

    def end(self, task: str, attempt: int) -> None:
        """An agent reports that it is done; late and fenced reports are dropped."""
        if task not in self.endings and self.attempts[task] == attempt:
            self.endings[task] += 1

    def retry(self, task: str, attempt: int) -> bool:
        """Compare and set."""
        if task in self.endings or self.attempts[task] != attempt:
            return False
        self.attempts[task] += 1
        return True


class Bustle:
    """A deployment in which everything happens at once."""

    def __init__(self, broker: Broker, url: str, random: Random, tasks: int, tenants: int) -> None:
        self.truth: Final = Truth()
        self.dispatch: Final = Dispatch(broker.run)
        self._admissions = Admissions(broker)
        self._broker = broker
        self._url = url
        self._random = random
        self._all = tasks
        self._tenants = tenants
        self._places: dict[str, tuple[str, str]] = {}
        self._names = 0

    @property
    def done(self) -> bool:
        """Whether every task has ended."""
        return len(self.truth.endings) == self._all

    async def run(self, workers: int, plain: int) -> None:
        """Until every task has ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._produce())
            group.create_task(self._recover())
            for _ in range(workers):
                group.create_task(self._employ())
            for _ in range(plain):
                group.create_task(self._consume())

    async def settle(self) -> None:
        """What is left in the order although its task has ended is claimed and found gone."""
        name = "settler"
        await self.dispatch.register(name, CONTEXTS, 100, LEASE_MS)
        while claimed := await self.dispatch.claim(name, LEASE_MS, 100):
            for claim in claimed:
                assert await self._take(claim) is None
            await self.dispatch.finish([(claim.task, claim.attempt) for claim in claimed], name, ran=False)
        await self.dispatch.leave(name)
        # What dead workers still had, though the task has ended by another attempt.
        await wait_until(self._no_leases)

    async def _no_leases(self) -> bool:
        await self._recover_once()
        key = "{dispatch}:leases:orchestrator"
        return not await self._broker.command(key, "EXISTS", key)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    async def _produce(self) -> None:
        for number in range(self._all):
            task, home = f"task-{number}", f"orchestrator:t{self._random.randrange(self._tenants)}:callbacks"
            self.truth.attempts[task] = 1
            self._places[task] = (self._random.choice(CONTEXTS), home)
            await self._push(task, 1)
            if self._chance(0.2):
                await self._push(task, 1)

    async def _push(self, task: str, attempt: int) -> None:
        context, home = self._places[task]
        queue = execution_queue(context, "free")
        payload = json.dumps([task, attempt, context, home]).encode()
        side = "left" if attempt == 1 else "right"
        await self._admissions.push(queue, task, attempt, payload, 60_000, side=side, old_attempt=attempt - 1)
        tenant = int(home.split(":")[1][1:])
        # A tenth is never announced, as by an agent's own producer: who looks at the queue finds it.
        if not self._chance(0.1):
            waiting = Waiting(
                task, attempt, context, "free", home, 1 + tenant % 4, 3 if tenant % 5 == 0 else 0
            )
            await self.dispatch.ready([waiting])

    async def _employ(self) -> None:
        """One worker after the other, since each dies at some time."""
        async with self._patience() as waits:
            while not self.done:
                self._names += 1
                await self._work(f"w{self._names}", waits)

    @asynccontextmanager
    async def _patience(self) -> AsyncGenerator[Topology, None]:
        waits = Topology(Endpoint(self._url))
        waits.start()
        try:
            yield waits
        finally:
            await waits.close()

    async def _work(self, name: str, waits: Topology) -> None:
        await self.dispatch.register(name, CONTEXTS, 4, LEASE_MS)
        while not self.done:
            claimed = await self.dispatch.claim(name, LEASE_MS, self._random.randint(1, 4))
            for claim in claimed:
                if self._chance(0.03) or not await self._carry_out(name, claim):
                    return
            if not claimed:
                await self._adopt()
                key = wake_key(name)
                await waits.call(key, "BLPOP", key, 0.02)
                await self.dispatch.register(name, CONTEXTS, 4, LEASE_MS)
        await self.dispatch.leave(name)

    async def _take(self, claim: Claimed) -> Reply:
        return await self._broker.run(
            "take", execution_queue(claim.context, claim.tier), claim.task, claim.attempt
        )

    async def _carry_out(self, name: str, claim: Claimed) -> bool:
        """False where the worker died over it."""
        payload = await self._take(claim)
        if payload is None:
            await self.dispatch.finish([(claim.task, claim.attempt)], name, ran=False)
            return True
        assert json.loads(payload)[:2] == [claim.task, claim.attempt]
        self.truth.runs[claim.task, claim.attempt] += 1
        if self._chance(0.03):
            return False
        if self._chance(0.2):
            await self.dispatch.renew(name, LEASE_MS, [claim])
        self.truth.end(claim.task, claim.attempt)
        await self.dispatch.finish([(claim.task, claim.attempt)], name)
        return True

    async def _adopt(self) -> None:
        known = await self.dispatch.known([(context, "free") for context in CONTEXTS])
        for queue, waiting in zip(QUEUES, known, strict=True):
            if await self._broker.command(queue, "LLEN", queue) > waiting:
                found = [
                    json.loads(raw) for raw in await self._broker.command(queue, "LRANGE", queue, 0, 499)
                ]
                entries = [Waiting(task, att, ctx, "free", home) for task, att, ctx, home in found]
                await self.dispatch.ready(entries, adopted=True)

    async def _consume(self) -> None:
        """An agent that knows nothing but its queue."""
        async with self._patience() as waits:
            while not self.done:
                queue = self._random.choice(QUEUES)
                found: Any = await waits.call(queue, "BRPOP", queue, 0.02)
                if found:
                    task, attempt, *_ = json.loads(found[1])
                    self.truth.runs[task, attempt] += 1
                    self.truth.end(task, attempt)
                    if not self._chance(0.5):
                        await self.dispatch.finish([(task, 0)])

    async def _recover(self) -> None:
        """Hands on what dead workers had; it crashes in the middle, and another one begins anew."""
        while not self.done:
            await self._recover_once()

    async def _recover_once(self) -> None:
        for lapsed in await self.dispatch.overdue("orchestrator", 100, again_ms=20):
            await self._hand_on(lapsed.task, lapsed.attempt)

    async def _hand_on(self, task: str, attempt: int) -> None:
        self.truth.retry(task, attempt)
        if self._chance(0.2):
            return
        if task not in self.truth.endings:
            await self._push(task, self.truth.attempts[task])
        if self._chance(0.2):
            return
        await self.dispatch.finish([(task, attempt)], tell=True)
