"""A tenant on a real server beside `Life`, its model: whatever is done is done to both."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from tests.broker.conversation import MARKER_MS, OTHER, Conversation
from tests.broker.life import Life, Task
from tests.broker.life_witness import SESSIONS, Witness
from tests.broker.tenant import AGENT, Tenant
from tests.broker.test_attempts import PAYLOAD

from orchestrator.broker.admissions import AdmitRequest
from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.broker.errands import Errand, Errands
from orchestrator.broker.keys import execution_queue
from orchestrator.delivery.callback_handler import judge_big
from orchestrator.protocol.task_message import for_attempt

CONTEXTS: Final = (AGENT, OTHER)
QUEUES: Final = {context: execution_queue(context, "free") for context in CONTEXTS}
LEASE_MS: Final = 600_000
WORKER: Final = "w1"
HOLDING: Final = ("leases", "run", "e", "capped", "ready", "waiting", "q")
FIGURES: Final = ("held", "outstanding", "unpushed", "leases")


class Hand(msgspec.Struct, frozen=True):
    """An attempt that somebody took off its queue; `worker` where it was claimed."""

    task: str
    attempt: int
    worker: str = ""


class Said(Conversation):
    """One session; a later attempt can be made of its payloads, and errands are the world's."""

    def __init__(self, world: "LifeWorld", session: str) -> None:
        super().__init__(world.tenant, session)
        self._world = world

    def payload(self, asked: AdmitRequest) -> bytes:
        """The task as it is pushed."""
        return PAYLOAD.replace(b"task-1", asked.task.encode())

    def joined(self, payloads: list[bytes]) -> bytes:
        """Which messages it carries on does not matter here."""
        return payloads[-1]

    async def run(self, errands: Errands) -> None:
        """As the service does it, and the model too."""
        await self._world.run_errands(errands)


class LifeWorld:
    """Everybody who looks after a tenant's tasks, and what they should find."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant) -> None:
        self.tenant = tenant
        self.client = tenant.client
        self.client.flushall()
        self.dispatch = Dispatch(tenant.broker.run)
        self.life = Life()
        self.witness = Witness(runner, tenant, self.life)
        self.talks = {name: Said(self, name) for name in SESSIONS}
        self.queues: dict[str, list[tuple[str, int]]] = {queue: [] for queue in QUEUES.values()}
        self.hands: list[Hand] = []
        self.reported: list[dict[str, Any]] = []
        self._undelivered: list[dict[str, Any]] = []
        self._known: set[tuple[str, int]] = set()

    # The way to the queues

    async def push(self, asked: AdmitRequest, *, tells: bool) -> None:
        """The last stage of a send; who dies before `tells` has pushed and not said so."""
        payload = self.talks[asked.session].payloads[asked.task]
        await self.tenant.admissions.push(asked.queue, asked.task, 1, payload, MARKER_MS)
        self._note_push(asked.task, 1, asked.queue)
        if tells:
            await self._settle_push(asked.task, 1, asked.context)

    async def _settle_push(self, task: str, attempt: int, context: str) -> None:
        """Workers may claim it, and the agenda forgets it."""
        await self.dispatch.ready([Waiting(task, attempt, context, "free", self.tenant.queue)])
        await self.tenant.admissions.mark_queued(self.tenant.name, (task, attempt))
        if task in self.life.tasks:
            self.life.queued(self.life.tasks[task], attempt)

    async def run_errands(self, errands: Errands) -> None:
        """Pushes that are due, and withdrawals."""
        for errand, payload in errands:
            await self._run_errand(errand, payload)

    async def _run_errand(self, errand: Errand, payload: bytes) -> None:
        task, attempt, queue = errand.task, errand.attempt, errand.queue
        if errand.withdraw:
            await self.tenant.admissions.withdraw(queue, task, attempt, errand.marker_ms)
            self._leave_queue(task, attempt, queue)
            return
        made = for_attempt(payload, attempt, errand.deadline)
        side = "left" if attempt == 1 else "right"
        await self.tenant.admissions.push(
            queue, task, attempt, made, errand.marker_ms, side=side, old_attempt=attempt - 1
        )
        self._note_push(task, attempt, queue)
        await self._settle_push(task, attempt, queue.split(":")[1])

    def _note_push(self, task: str, attempt: int, queue: str) -> None:
        """Once for each attempt, the first at the end and later ones at the head; an earlier one leaves."""
        if attempt > 1:
            self._leave_queue(task, attempt - 1, queue)
        if (task, attempt) not in self._known:
            place = 0 if attempt == 1 else len(self.queues[queue])
            self.queues[queue].insert(place, (task, attempt))
            self._known.add((task, attempt))

    def _leave_queue(self, task: str, attempt: int, queue: str) -> None:
        """Nobody may have this attempt any more."""
        self._known.add((task, attempt))
        if (task, attempt) in self.queues[queue]:
            self.queues[queue].remove((task, attempt))

    # Agents

    def take(self, count: int) -> None:
        """Agents take from each queue, in order, and nothing that was withdrawn."""
        for queue, waiting in self.queues.items():
            for _ in waiting[:count]:
                told = json.loads(self.client.rpop(queue))
                assert (told["task_id"], told["attempt"]) == waiting.pop()
                self.hands.append(Hand(told["task_id"], told["attempt"]))

    async def claim(self, count: int) -> None:
        """A worker claims, and gets what nobody else has taken."""
        for claim in await self.dispatch.claim(WORKER, LEASE_MS, count):
            queue, name = QUEUES[claim.context], (claim.task, claim.attempt)
            payload = await self.tenant.broker.run("take", queue, *name)
            assert (payload is not None) == (name in self.queues[queue])
            if payload is None:
                await self.dispatch.finish([name], WORKER, ran=False)
            else:
                self.queues[queue].remove(name)
                self.hands.append(Hand(*name, WORKER))

    def counts(self, hand: Hand) -> bool:
        """Whether what its agent says does anything."""
        task = self.life.tasks.get(hand.task)
        return task is not None and task.open and task.attempt == hand.attempt

    def report(self, told: dict[str, Any]) -> None:
        """An agent pushes a callback."""
        self.tenant.report(json.dumps(told).encode())
        self.reported.append(told)
        self._undelivered.append(told)

    async def pump(self) -> None:
        """Everything that waits is delivered, and counted as the model counts it."""
        counted: Counter[str] = Counter()
        while self._undelivered:
            delivered = (await self.tenant.callbacks.deliver([self.tenant.name]))[0]
            if delivered.stop == "big" and not delivered.taken:
                raw = await self.tenant.callbacks.peek(self.tenant.name) or b""
                delivered = await self.tenant.callbacks.deliver_big(self.tenant.name, raw, *judge_big(raw))
            assert delivered.taken
            counted.update(delivered.counts)
            for told in self._undelivered[: delivered.taken]:
                self.life.report(told)
            del self._undelivered[: delivered.taken]
        assert +counted == +self.life.counts
        self.life.counts.clear()

    # The agenda

    async def look(self, overdue: Sequence[str] = (), *, lapsed: bool = True, dies: bool = False) -> None:
        """`tend.lua` finds due: these deadlines, all leases if they lapsed, what nobody pushed, what waits its turn."""
        leased = sorted(self.witness.listed("leases")) if lapsed else []
        queued = [self.life.tasks[name] for name in overdue if name in self.life.tasks]
        queued = [task for task in queued if task.status != "running"]
        for name, tasks in (("outstanding", overdue), ("leases", leased)):
            self._make_due(name, tasks)
        for name in ("held", "unpushed"):
            self._make_due(name, sorted(self.witness.listed(name)))
        tended, errands = await self.tenant.tasks.tend(self.tenant.name)
        self.life.deadlines_pass(sorted(overdue))
        self.life.leases_pass(leased)
        self.life.counts.clear()
        self.life.forget_sums()
        assert set(tended.turns) == {task.session for task in self.life.open() if task.held}
        if not dies:
            await self.run_errands(errands)
            self.check_withdrawn(queued)
            for session in tended.turns:
                await self.advance(session)

    def _make_due(self, name: str, tasks: Sequence[str]) -> None:
        """Their moment has come."""
        if tasks:
            self.client.zadd(self.tenant.key(name), dict.fromkeys(tasks, 1), xx=True)

    async def advance(self, session: str, *, dies: bool = False) -> None:
        """A held message goes, if it may; who dies has let it go and not pushed it."""
        turn, errands = await self.talks[session].turns.advance(self.tenant.name, session)
        task = self.life.turn_of(session)
        assert turn.released == (task.id if task else "")
        if task:
            self.life.release(task)
        if not dies:
            await self.run_errands(errands)

    async def lose_worker(self, task: str, *, crashes: bool) -> None:
        """Its lease in the dispatch is over; who hands the run on may crash before that is noted."""
        self.client.zadd("{dispatch}:leases:orchestrator", {task: 1}, xx=True)
        for lapsed in await self.dispatch.overdue("orchestrator", 100, again_ms=1):
            await self.pump()
            retried = await self.tenant.tasks.retry(self.tenant.name, lapsed.task, lapsed.attempt)
            assert retried.outcome == self._hand_on(lapsed.task, lapsed.attempt)
            if not crashes:
                await self.dispatch.finish([(lapsed.task, lapsed.attempt)], tell=True)

    def _hand_on(self, name: str, attempt: int) -> str:
        """What becomes of a task whose worker is gone."""
        task = self.life.tasks.get(name)
        if task is None or not task.open:
            return "ended" if task else "not_found"
        if task.attempt != attempt:
            return "stale"
        self.life.try_again(task)
        self.life.counts.clear()
        return "retried" if task.open else "ended"

    def check(self) -> None:
        """The server is as the model says, and so is what everybody has heard of it."""
        self.witness.check(self.queues)

    def check_withdrawn(self, ended: Sequence[Task]) -> None:
        """What the service has ended before an agent reported it is on no queue."""
        for task in ended:
            assert (task.id, task.attempt) not in self.queues[QUEUES[task.context]]

    async def check_rest(self, accepted: Sequence[str]) -> None:
        """Each accepted task has one ending; only ledgers and logs are left, and nothing counts or holds a task."""
        assert self.life.open() == []
        for task in accepted:
            ends = self.witness.endings[task]
            assert ends == 1 or (task in self.life.lost and not ends), task
        key = self.tenant.key
        assert [name for name in FIGURES if self.client.exists(key(name))] == []
        assert [int(figure or 0) for figure in self.client.hmget(key("tenant"), "running", "bytes")] == [0, 0]
        assert not any(self.client.llen(queue) for queue in [*self.queues, self.tenant.queue])
        while claimed := await self.dispatch.claim(WORKER, LEASE_MS, 100):
            await self.dispatch.finish([(claim.task, claim.attempt) for claim in claimed], WORKER, ran=False)
        await self.dispatch.finish([(task, 0) for task in accepted])
        left = [
            held for kind in HOLDING for held in self.client.scan_iter(f"{{dispatch}}:{kind}:*", count=1000)
        ]
        assert left == []
