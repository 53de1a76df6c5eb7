"""One experiment: a load, faults at seeded instants, quiet, and then everything is read that the verdict needs."""

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import httpx
from tests.faults.deployment import Deployment
from tests.faults.fault import Fault
from tests.faults.frontend import Frontend
from tests.faults.leftovers import leftovers
from tests.faults.plan import Plan
from tests.faults.record import ENDED, Ledger, Record, SessionKey
from tests.faults.schedule import Schedule
from tests.faults.sender import Sender
from tests.faults.strays import Strays
from tests.servers import wait_until

Tell = Callable[[str], None]
QUIET: Final = 90.0
"""Seconds after the last fault within which everything has to be over."""
_EACH: Final = 10.0


class Experiment:
    """Runs once; `record` is what it wrote down."""

    def __init__(
        self, deployment: Deployment, plan: Plan, seed: int, tell: Tell, *, at_once: int = 2
    ) -> None:
        self.record = Record()
        self._deployment = deployment
        self._plan = plan
        self._chance = random.Random(seed)
        self._tell = tell
        # The default would read every certificate of the system, and there is no TLS here.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=20)
        # A send is answered within 5 s, or its replica is frozen.
        self._http = httpx.AsyncClient(timeout=7, verify=plain, trust_env=False, limits=limits)
        self._frontends = {
            key: Frontend(key, plan.customer(key), deployment.ports, self._http, self._own_chance())
            for key in plan.sessions
        }
        self._sender = Sender(plan, deployment.ports, self._http, self._frontends, self._own_chance())
        self._strays = Strays(self.record, deployment.valkey.port, self._own_chance())
        self._schedule = Schedule(deployment, self._own_chance(), at_once)
        self.record.sent = self._sender.sent
        self.record.followed = {key: frontend.followed for key, frontend in self._frontends.items()}
        self.record.strikes = self._schedule.strikes
        self.record.losses = self._schedule.losses

    async def run(self, seconds: float, faults: Sequence[type[Fault]]) -> Record:
        """The whole of it."""
        async with self._http:
            following = [asyncio.create_task(frontend.run()) for frontend in self._frontends.values()]
            await self._until(self._all_follow, 30)
            telling = asyncio.create_task(self._progress())
            # Where an ending may be taken back, a late report may be the first.
            may_stray = not any(fault.takes_back for fault in faults)
            straying = [asyncio.create_task(self._strays.run())] if may_stray else []
            await asyncio.gather(self._sender.run(seconds), self._schedule.run(seconds, faults))
            await _end(*straying)
            self._tell("no more faults; waiting until all is quiet")
            for frontend in self._frontends.values():
                frontend.restless = False
            await self._until(self._is_quiet, QUIET)
            await self._read_ledgers()
            self.record.strays = {"dead": len(self._strays.dead), "dropped": self._strays.dropped}
            if not self.record.losses:
                urls = [replica.url for replica in self._deployment.replicas]
                self.record.uncounted = await self._strays.uncounted(urls)
            await _end(telling, *following)
        return self.record

    def _own_chance(self) -> random.Random:
        """Dice of its own for each part, so that the order of events does not change what the others throw."""
        return random.Random(self._chance.random())

    async def _until(self, condition: Callable[[], Awaitable[bool]], within: float) -> None:
        """Returns when it is true; what is not true in time is found by the verdict."""

        async def now_and_then() -> bool:
            await asyncio.sleep(0.5)
            return await condition()

        with suppress(AssertionError):
            await wait_until(now_and_then, within)

    async def _all_follow(self) -> bool:
        return all(followed.connections for followed in self.record.followed.values())

    async def _is_quiet(self) -> bool:
        for frontend in self._frontends.values():
            frontend.followed.final = view = await frontend.view()
            if any(ledger["status"] not in ENDED for ledger in view.tasks.values()):
                return False
            if not frontend.has_reached(view.position):
                return False
        self.record.leftovers = await asyncio.to_thread(leftovers, self._deployment.valkey.port)
        return not self.record.leftovers

    async def _read_ledgers(self) -> None:
        for frontend in self._frontends.values():
            frontend.followed.final = await frontend.view()
        for sent in self.record.sent:
            for task_id in sent.tasks:
                self.record.ledgers[task_id] = await self._ledger(sent.message.session, task_id)

    async def _ledger(self, key: SessionKey, task_id: str) -> Ledger | None:
        frontend = self._frontends[key]
        for server in self._deployment.replicas:
            answer = await self._http.get(f"{server.url}/api/chat/tasks/{task_id}", headers=frontend.headers)
            if answer.status_code in (200, 404):
                return answer.json() if answer.status_code == 200 else None
        return {"status": "unreadable"}

    async def _progress(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(_EACH)
            frames = [frame for followed in self.record.followed.values() for frame in followed.frames]
            accepted = sum(sent.accepted is not None for sent in self.record.sent)
            ended = sum(frame.ends for frame in frames)
            self._tell(
                f"{time.monotonic() - began:4.0f} s  {len(self.record.sent)} sent, {accepted} accepted, "
                f"{ended} endings seen in {len(frames)} frames; {self._schedule.told}"
            )


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Ends what would go on for ever; what ended by itself went wrong."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
