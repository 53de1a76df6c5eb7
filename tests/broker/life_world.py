"""A tenant on a real server beside `Life`, its model: whatever is done is done to both, and then they are compared."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from tests.broker.conversation import MARKER_MS, OTHER, Conversation
from tests.broker.life import Life, Task
from tests.broker.tenant import AGENT, Tenant
from tests.broker.test_attempts import PAYLOAD
from tests.broker.told_log import ToldLog
from tests.permanent_keys import keys_without_end
from tests.servers import wait_blocking

from orchestrator.broker.admissions import AdmitRequest
from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.broker.errands import Errand, Errands
from orchestrator.broker.keys import execution_queue
from orchestrator.delivery.callback_handler import judge_big
from orchestrator.protocol.batches import Announced, read_batch
from orchestrator.protocol.task_message import for_attempt
from orchestrator.protocol.tasks import TRANSITIONS, Status

CONTEXTS: Final = (AGENT, OTHER)
QUEUES: Final = {context: execution_queue(context, "free") for context in CONTEXTS}
SESSIONS: Final = ("sess-1", "sess-2")
LEASE_MS: Final = 600_000
WORKER: Final = "w1"


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
        self.channel = self.client.pubsub()
        self.channel.ssubscribe(tenant.key("events"))
        wait_blocking(lambda: self.channel.get_message(timeout=1), why="subscribed")
        self.dispatch = Dispatch(tenant.broker.run)
        self.life = Life()
        self.logs = {name: ToldLog(runner, tenant, name) for name in SESSIONS}
        for log in self.logs.values():
            log.lost = self.life.lost
        self.talks = {name: Said(self, name) for name in SESSIONS}
        self.queues: dict[str, list[tuple[str, int]]] = {queue: [] for queue in QUEUES.values()}
        self.hands: list[Hand] = []
        self.reported: list[dict[str, Any]] = []
        self.endings: Counter[str] = Counter()
        self._undelivered: list[dict[str, Any]] = []
        self._known: set[tuple[str, int]] = set()
        self._statuses: dict[str, Status] = {}
        self._heard: dict[str, list[Announced]] = {name: [] for name in SESSIONS}

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
            counted.update(dict(delivered.counts))
            for told in self._undelivered[: delivered.taken]:
                self.life.report(told)
            del self._undelivered[: delivered.taken]
        assert +counted == +self.life.counts
        self.life.counts.clear()

    # The agenda

    async def look(self, overdue: Sequence[str] = (), *, lapsed: bool = True, dies: bool = False) -> None:
        """`tend.lua` finds due: these deadlines, all leases if they lapsed, what nobody pushed, what waits its turn."""
        leased = sorted(self._listed("leases")) if lapsed else []
        queued = [self.life.tasks[name] for name in overdue if name in self.life.tasks]
        queued = [task for task in queued if task.status != "running"]
        for name, tasks in (("outstanding", overdue), ("leases", leased)):
            self._make_due(name, tasks)
        for name in ("held", "unpushed"):
            self._make_due(name, sorted(self._listed(name)))
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

    # What always holds

    def check(self) -> None:
        """The server is as the model says, and so is what everybody has heard of it."""
        self._check_logs()
        self._check_records()
        self._check_queues()
        self._check_figures()
        assert list(keys_without_end(self.client)) == []

    def _check_logs(self) -> None:
        """Live events are the model's, in order; every reader of everything is told the same."""
        for session, log in self.logs.items():
            log.attempts.update({task.id: task.attempt for task in self.life.tasks.values()})
            for told in [told for told in self.life.told if told.session == session]:
                announced = self._next_announced(session)
                assert announced.epoch == log.epoch or announced.offset == 1
                log.note(announced)
                known = log.history[-1]
                assert (known.task, known.type) == (told.task, told.type)
                assert told.data.items() <= known.data.items()
                self.endings[known.task] += known.ends
            top = log.stands_at()
            assert top in {None, log.top}
        self.life.told.clear()
        for log in self.logs.values():
            log.read_all()

    def _next_announced(self, session: str) -> Announced:
        """The next event of a session on the tenant's channel."""
        while not self._heard[session]:
            message = self.channel.get_message(timeout=5)
            assert message, "the model has an event that was not announced"
            for announced in read_batch(message["data"]):
                self._heard[announced.session].append(announced)
        return self._heard[session].pop(0)

    def _check_records(self) -> None:
        """And each status follows the one before by the contract's table."""
        reading = self.client.pipeline(transaction=False)
        for task in self.life.tasks:
            reading.hmget(self.tenant.key(f"task:{task}"), "status", "attempt", "code", "held", "seq")
        for task, kept in zip(self.life.tasks.values(), reading.execute(), strict=True):
            status, attempt, code, held, seq = [(value or b"").decode() for value in kept]
            assert (status, int(attempt), bool(held)) == (task.status, task.attempt, task.held), task
            assert int(seq) == task.seq or not task.open
            assert code in {"", task.code}
            before = self._statuses.get(task.id, "accepted")
            assert status == before or task.status in _after(before), (before, status)
            self._statuses[task.id] = task.status

    def _check_queues(self) -> None:
        for queue, expected in self.queues.items():
            found = [json.loads(raw) for raw in self.client.lrange(queue, 0, -1)]
            assert [(told["task_id"], told["attempt"]) for told in found] == expected

    def _check_figures(self) -> None:
        """Lost tasks are left where they are until somebody comes to them."""
        assert self.client.zcard(self.tenant.key("outstanding")) == self.life.outstanding
        assert int(self.client.hget(self.tenant.key("tenant"), "running") or 0) == self.life.running
        unpushed = {task.id for task in self.life.open() if task.unpushed}
        assert self._listed("unpushed") - self.life.lost == unpushed
        leased = {task.id for task in self.life.open() if task.leased}
        assert self._listed("leases") - self.life.lost == leased

    def _listed(self, name: str) -> set[str]:
        return {task.decode() for task in self.client.zrange(self.tenant.key(name), 0, -1)}

    def check_withdrawn(self, ended: Sequence[Task]) -> None:
        """What the service has ended before an agent reported it is on no queue."""
        for task in ended:
            assert (task.id, task.attempt) not in self.queues[QUEUES[task.context]]

    def record(self, task: str) -> dict[bytes, bytes]:
        """What is kept of a task."""
        found: dict[bytes, bytes] = self.client.hgetall(self.tenant.key(f"task:{task}"))
        return found


def _after(status: Status) -> set[Status]:
    """Where a task may get by the contract's table, in however many steps."""
    seen: set[Status] = set()
    ahead = [status]
    while ahead:
        follows = TRANSITIONS[ahead.pop()] - seen
        seen |= follows
        ahead += follows
    return seen
