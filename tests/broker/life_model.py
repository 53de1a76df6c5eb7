"""The life of tasks, their attempts and the session's log together, against the real scripts (contract §3 to §5).

The model is `Life`, the contract's tables in Python, and `ToldLog`, what readers have been told. Replicas die between any
two steps, workers are lost, agents say everything twice and too late, and the server loses keys. After each step the
records, the queues, the figures and each session's log are what the model says; in the end each task has ended once.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.broker.conversation import MARKER_MS, OTHER, Conversation
from tests.broker.life import Life, Task, Told
from tests.broker.tenant import AGENT, QUEUE, Tenant
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
from orchestrator.protocol.position import Position, parse_position
from orchestrator.protocol.task_message import for_attempt
from orchestrator.protocol.tasks import TRANSITIONS, Status
from orchestrator.protocol.turn_policies import TURN_POLICIES, TurnPolicy

CONTEXTS: Final = (AGENT, OTHER)
QUEUES: Final = {context: execution_queue(context, "free") for context in CONTEXTS}
SESSIONS: Final = ("sess-1", "sess-2")
OUTSTANDING_MAX: Final = 7
LEASE_MS: Final = 600_000
WORKER: Final = "w1"
BIG: Final = "x" * 66_000
"""Makes a callback one that Python reads."""
HOLDING: Final = ("leases", "run", "e", "capped", "ready", "waiting", "q")
FIGURES: Final = ("held", "outstanding", "unpushed", "leases")


class Hand(msgspec.Struct, frozen=True):
    """An attempt that somebody took off its queue; `worker` where it was claimed."""

    task: str
    attempt: int
    worker: str = ""


class Said(Conversation):
    """One session; payloads are such that a later attempt can be made of them, and the model runs the errands."""

    def __init__(self, model: "LifeModel", session: str) -> None:
        super().__init__(model.tenant, session)
        self._model = model

    def payload(self, asked: AdmitRequest) -> bytes:
        """The task as it is pushed."""
        return PAYLOAD.replace(b"task-1", asked.task.encode())

    def joined(self, payloads: list[bytes]) -> bytes:
        """Which messages it carries on does not matter here."""
        return payloads[-1]

    async def run(self, errands: Errands) -> None:
        """As the service does it, and the model too."""
        for errand, payload in errands:
            await self._model.run_errand(errand, payload)


class LifeModel(RuleBasedStateMachine):
    """A tenant with two sessions and two agents, and everybody who looks after its tasks."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant) -> None:
        super().__init__()
        self.runner = runner
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
        self.markers: dict[tuple[str, int], str] = {}
        self.hands: list[Hand] = []
        self.reported: list[dict[str, Any]] = []
        self.waiting: list[dict[str, Any]] = []
        self.firsts: dict[tuple[str, str], tuple[str, str, str]] = {}
        self.requests: dict[str, tuple[AdmitRequest, str]] = {}
        self.statuses: dict[str, Status] = {}
        self.heard: dict[str, list[Announced]] = {name: [] for name in SESSIONS}
        self.endings: Counter[str] = Counter()
        self.accepted: list[str] = []
        self.held_positions: dict[str, list[Position]] = {name: [] for name in SESSIONS}

    def do(self, work: Any) -> Any:
        """What an asynchronous step returns."""
        return self.runner.run(work)

    @initialize()
    def a_worker_lives(self) -> None:
        self.do(self.dispatch.register(WORKER, CONTEXTS, 9, LEASE_MS))

    # Messages

    @rule(
        session=st.sampled_from(SESSIONS),
        context=st.sampled_from(CONTEXTS),
        policy=st.sampled_from(["parallel", "parallel", *TURN_POLICIES]),
        stream=st.sampled_from([True, True, True, False]),
        key=st.sampled_from(["", "", "", "k1", "k2"]),
        fingerprint=st.sampled_from(["f1", "f1", "f2"]),
        pushed=st.sampled_from(["told", "told", "pushed", "not pushed"]),
    )
    def a_message_is_sent(
        self, session: str, context: str, policy: TurnPolicy, stream: bool, key: str, fingerprint: str, pushed: str
    ) -> None:  # fmt: skip
        asked = self.talks[session].request(
            policy, context, stream=stream, idempotency=key, fingerprint=fingerprint,
            max_outstanding=OUTSTANDING_MAX,
        )  # fmt: skip
        expected = self.expected_outcome(asked, policy)
        reply = self.do(self.talks[session].admit(asked, pushes=False))
        assert reply.outcome == expected
        if expected == "replayed":
            assert (reply.task, reply.position) == self.firsts[session, key][1:]
        if expected == "accepted":
            self.note_accepted(asked, policy, reply.position)
            assert reply.held == self.life.tasks[asked.task].held
            if not reply.held and pushed != "not pushed":
                self.push(asked, tells=pushed == "told")

    def expected_outcome(self, asked: AdmitRequest, policy: TurnPolicy) -> str:
        """What the contract says of a send."""
        first = self.firsts.get((asked.session, asked.idempotency))
        if first:
            return "replayed" if first[0] == asked.fingerprint else "conflict"
        stops, _ = self.life.stops(policy, asked.session, asked.context)
        if self.life.outstanding - len(stops) >= OUTSTANDING_MAX:
            return "queue_full"
        busy = policy == "reject" and self.life.open(asked.session)
        return "session_busy" if busy else "accepted"

    def note_accepted(self, asked: AdmitRequest, policy: TurnPolicy, position: str) -> None:
        """The same in the model."""
        self.accepted.append(asked.task)
        self.requests[asked.task] = asked, position
        if asked.idempotency:
            self.firsts[asked.session, asked.idempotency] = asked.fingerprint, asked.task, position
        self.life.accept(Task(asked.task, asked.session, asked.context, asked.stream), policy)
        held = parse_position(position)
        assert held
        self.held_positions[asked.session].append(held)

    def push(self, asked: AdmitRequest, *, tells: bool) -> None:
        """The last stage of a send; who dies before `tells` has pushed and not said so."""
        payload = self.talks[asked.session].payloads[asked.task]
        self.do(self.tenant.admissions.push(asked.queue, asked.task, 1, payload, MARKER_MS))
        self.note_push(asked.task, 1, asked.queue)
        if tells:
            self.do(self.announce(asked.task, 1, asked.context))
            self.do(self.mark_queued(asked.task, 1))

    async def announce(self, task: str, attempt: int, context: str) -> None:
        """Workers may claim it."""
        await self.dispatch.ready([Waiting(task, attempt, context, "free", self.tenant.queue)])

    async def mark_queued(self, task: str, attempt: int) -> None:
        """The service notes that it was pushed."""
        await self.tenant.admissions.mark_queued(self.tenant.name, (task, attempt))
        if task in self.life.tasks:
            self.life.queued(self.life.tasks[task], attempt)

    @precondition(lambda self: self.life.tasks)
    @rule(data=st.data())
    def a_send_is_repeated_after_a_broken_connection(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.life.tasks)))
        asked, position = self.requests[task]
        reply = self.do(self.tenant.admissions.admit(self.tenant.name, asked, b"{}"))
        kept = self.life.tasks[task]
        assert (reply.outcome, reply.position, reply.held) == ("accepted", position, kept.held or not kept.open)

    @rule(session=st.sampled_from(SESSIONS))
    def a_stalled_server_admits_too_late(self, session: str) -> None:
        reply = self.do(self.tenant.admit(session=session, not_after=1))
        assert reply.outcome == "late"

    # Queues and agents

    async def run_errand(self, errand: Errand, payload: bytes) -> None:
        """A push that is due, or a withdrawal."""
        name = errand.task, errand.attempt
        if errand.withdraw:
            await self.tenant.admissions.withdraw(errand.queue, *name, errand.marker_ms)
            self.leave_queue(*name, errand.queue)
            return
        made = for_attempt(payload, errand.attempt, errand.deadline)
        side = "left" if errand.attempt == 1 else "right"
        await self.tenant.admissions.push(
            errand.queue, *name, made, errand.marker_ms, side=side, old_attempt=errand.attempt - 1
        )
        self.note_push(*name, errand.queue)
        await self.announce(*name, errand.queue.split(":")[1])
        await self.mark_queued(*name)

    def note_push(self, task: str, attempt: int, queue: str) -> None:
        """Once for each attempt, the first at the end and later ones at the head; an earlier one leaves."""
        if attempt > 1:
            self.leave_queue(task, attempt - 1, queue)
        if (task, attempt) not in self.markers:
            place = 0 if attempt == 1 else len(self.queues[queue])
            self.queues[queue].insert(place, (task, attempt))
            self.markers[task, attempt] = "queue"

    def leave_queue(self, task: str, attempt: int, queue: str) -> None:
        """Nobody may have this attempt any more."""
        self.markers[task, attempt] = "void"
        if (task, attempt) in self.queues[queue]:
            self.queues[queue].remove((task, attempt))

    @rule(queue=st.sampled_from([*QUEUES.values()]))
    def an_agent_takes_from_its_queue(self, queue: str = QUEUE) -> None:
        taken = self.client.rpop(queue)
        assert (taken is not None) == bool(self.queues[queue])
        if taken:
            told = json.loads(taken)
            assert (told["task_id"], told["attempt"]) == self.queues[queue].pop()
            self.hands.append(Hand(told["task_id"], told["attempt"]))

    @rule(count=st.integers(1, 3))
    def a_worker_claims(self, count: int) -> None:
        for claim in self.do(self.dispatch.claim(WORKER, LEASE_MS, count)):
            queue = QUEUES[claim.context]
            name = claim.task, claim.attempt
            payload = self.do(self.tenant.broker.run("take", queue, *name))
            assert (payload is not None) == (name in self.queues[queue])
            if payload is None:
                self.do(self.dispatch.finish([name], WORKER, ran=False))
                continue
            assert json.loads(payload)["task_id"] == claim.task
            self.queues[queue].remove(name)
            self.hands.append(Hand(*name, WORKER))

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["running", "streaming", "streaming", "streaming", "progress"]),
        says_attempt=st.sampled_from([True, True, False]),
        lease=st.booleans(),
        result=st.sampled_from([{}, {"step": 1}, {"step": BIG}]),
        times=st.integers(1, 3),
    )
    def an_agent_reports(
        self, data: st.DataObject, kind: str, says_attempt: bool, lease: bool, result: dict[str, Any], times: int
    ) -> None:  # fmt: skip
        hand = data.draw(st.sampled_from(self.hands))
        for _ in range(times):
            told: dict[str, Any] = {"task_id": hand.task, "status": kind, "result": result}
            if kind == "streaming":
                told["result"] = {"delta": data.draw(st.text(st.characters(codec="utf-8"), max_size=8))}
                if (seq := data.draw(st.sampled_from([None, *range(6)]))) is not None:
                    told["seq"] = seq
            if kind == "running" and lease:
                told["lease"] = 30
            if says_attempt:
                told["attempt"] = hand.attempt
            self.report(told)
        self.somebody_pumps()

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["completed", "completed", "completed", "failed", "failed", "timeout", "cancelled"]),
        result=st.sampled_from([{}, {}, {"response": "r"}, {"response": BIG}, {"error": {"code": "own"}}]),
        retry=st.booleans(),
        pumped=st.sampled_from([True, True, False]),
        finishes=st.booleans(),
    )
    def an_agent_ends(
        self, data: st.DataObject, kind: str, result: dict[str, Any], retry: bool, pumped: bool, finishes: bool
    ) -> None:  # fmt: skip
        hand = data.draw(st.sampled_from(self.hands))
        told: dict[str, Any] = {"task_id": hand.task, "status": kind, "result": result, "attempt": hand.attempt}
        if kind == "failed" and retry:
            told["retry"] = True
        self.report(told)
        if finishes:
            self.do(self.dispatch.finish([(hand.task, hand.attempt)], hand.worker))
        if pumped:
            self.somebody_pumps()

    @precondition(lambda self: any(task.target for task in self.life.open()))
    @rule(data=st.data())
    def an_agent_takes_what_it_was_handed(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from([task for task in self.life.open() if task.target]))
        if any(hand.task == task.target for hand in self.hands):
            self.report({"task_id": task.target, "status": "running", "took": [task.id]})
            self.somebody_pumps()

    @precondition(lambda self: self.reported)
    @rule(data=st.data(), ahead=st.sampled_from([0, 0, 1]))
    def a_report_comes_again(self, data: st.DataObject, ahead: int) -> None:
        """Word for word, or with the number of an attempt that has not begun."""
        told = data.draw(st.sampled_from(self.reported))
        self.report(told | ({"attempt": told["attempt"] + ahead} if "attempt" in told else {}))
        self.somebody_pumps()

    def report(self, told: dict[str, Any]) -> None:
        """An agent pushes a callback."""
        self.tenant.report(json.dumps(told).encode())
        self.reported.append(told)
        self.waiting.append(told)

    @rule()
    def somebody_pumps(self) -> None:
        """Everything that waits is delivered, with what the model counts."""
        counted: Counter[str] = Counter()
        while self.waiting:
            delivered = self.do(self.tenant.callbacks.deliver([self.tenant.name]))[0]
            if delivered.stop == "big":
                counted.update(dict(delivered.counts))
                raw = self.do(self.tenant.callbacks.peek(self.tenant.name))
                self.take(delivered.taken)
                delivered = self.do(self.tenant.callbacks.deliver_big(self.tenant.name, raw, *judge_big(raw)))
            assert delivered.stop in ("", "big")
            assert delivered.taken
            counted.update(dict(delivered.counts))
            self.take(delivered.taken)
        assert +counted == +self.life.counts
        self.life.counts.clear()

    def take(self, count: int) -> None:
        """The first callbacks that wait, in the model."""
        for told in self.waiting[:count]:
            self.life.report(told)
        del self.waiting[:count]

    # Cancelling, time, workers that are lost

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def somebody_cancels(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.accepted))
        task = self.life.tasks.get(name)
        expected = "not_found" if task is None else "cancelled" if task.open else "ended"
        cancelled, errands = self.do(self.tenant.tasks.cancel(self.tenant.name, name, ""))
        assert cancelled.outcome == expected
        if task and expected == "cancelled":
            self.life.end(task, "cancelled", "cancelled")
            self.run_errands(errands)
            assert self.client.exists(self.tenant.key(f"cancel:{name}"))

    def run_errands(self, errands: Errands) -> None:
        """What a script left to be done on queues."""
        for errand, payload in errands:
            self.do(self.run_errand(errand, payload))

    @rule(data=st.data(), overdue=st.sampled_from([0, 0, 0, 1, 2]), lapsed=st.booleans(), dies=st.booleans())
    def the_agenda_looks(self, data: st.DataObject, overdue: int, lapsed: bool, dies: bool) -> None:
        """Time passes for some; a replica may die before it has run the errands."""
        self.somebody_pumps()
        known = sorted({task.id for task in self.life.open()} | self.life.ghosts)
        due = data.draw(st.lists(st.sampled_from(known), max_size=overdue, unique=True)) if known else []
        self.look(due, lapsed=lapsed, dies=dies)

    def look(self, overdue: Sequence[str] = (), *, lapsed: bool = True, dies: bool = False) -> None:
        """What `tend.lua` finds due: these deadlines, all leases, what nobody pushed, what waits its turn."""
        leased = sorted(task.id for task in self.life.open() if task.leased) if lapsed else []
        self.make_due("outstanding", overdue)
        self.make_due("leases", leased)
        for name in ("held", "unpushed"):
            self.make_due(name, [task.decode() for task in self.client.zrange(self.tenant.key(name), 0, -1)])
        tended, errands = self.do(self.tenant.tasks.tend(self.tenant.name))
        self.life.deadlines_pass(sorted(overdue))
        self.life.leases_pass(leased)
        self.life.counts.clear()
        self.life.forget_sums()
        assert set(tended.turns) == {task.session for task in self.life.open() if task.held}
        if dies:
            return
        self.run_errands(errands)
        for session in tended.turns:
            self.somebody_looks_after_turns(session)

    def make_due(self, name: str, tasks: Sequence[str]) -> None:
        """Their moment has come."""
        if tasks:
            self.client.zadd(self.tenant.key(name), dict.fromkeys(tasks, 1), xx=True)

    @rule(session=st.sampled_from(SESSIONS), dies=st.booleans())
    def somebody_looks_after_turns(self, session: str, dies: bool = False) -> None:
        """Whoever notes an ending; who dies has let a message go and not pushed it."""
        turn, errands = self.do(self.talks[session].turns.advance(self.tenant.name, session))
        task = self.life.turn_of(session)
        assert turn.released == (task.id if task else "")
        if task:
            self.life.release(task)
        if not dies:
            self.run_errands(errands)

    @precondition(lambda self: any(hand.worker for hand in self.hands))
    @rule(data=st.data(), crashes=st.booleans())
    def a_worker_is_lost(self, data: st.DataObject, crashes: bool) -> None:
        """Its lease in the dispatch is over; who hands its run on may crash before that is noted."""
        hand = data.draw(st.sampled_from([hand for hand in self.hands if hand.worker]))
        self.client.zadd("{dispatch}:leases:orchestrator", {hand.task: 1}, xx=True)
        for lapsed in self.do(self.dispatch.overdue("orchestrator", 100, again_ms=1)):
            self.somebody_pumps()
            task = self.life.tasks.get(lapsed.task)
            retried = self.do(self.tenant.tasks.retry(self.tenant.name, lapsed.task, lapsed.attempt))
            assert retried.outcome == self.hand_on(task, lapsed.attempt)
            if not crashes:
                self.do(self.dispatch.finish([(lapsed.task, lapsed.attempt)], tell=True))

    def hand_on(self, task: Task | None, attempt: int) -> str:
        """What becomes of a task whose worker is gone."""
        if task is None:
            return "not_found"
        if not task.open:
            return "ended"
        if task.attempt != attempt:
            return "stale"
        self.life.try_again(task)
        self.life.counts.clear()
        return "retried" if task.open else "ended"

    # Readers

    @rule(data=st.data(), session=st.sampled_from(SESSIONS), back=st.integers(0, 30))
    def readers_resume(self, data: st.DataObject, session: str, back: int) -> None:
        log = self.logs[session]
        for position in [*log.positions[-1 - back :][:2], *self.held_positions[session][-1 - back :][:1]]:
            log.resume(position)
        log.resume_earliest()

    @precondition(lambda self: any(log.history for log in self.logs.values()))
    @rule(data=st.data(), session=st.sampled_from(SESSIONS), acknowledged=st.booleans())
    def a_reader_acknowledges(self, data: st.DataObject, session: str, acknowledged: bool) -> None:
        log = self.logs[session]
        if not log.history or not log.exists():
            return
        offset = data.draw(st.integers(1, log.top))
        told = (log.top, offset if acknowledged else 0)
        self.do(self.tenant.logs.settle(self.tenant.name, session, log.epoch, *told))
        ends = {known.task: known.offset for known in log.history if known.ends}
        for task, at in ends.items():
            record = self.record(task)
            if record is not None:
                assert b"delivered_at" in record
                assert b"acknowledged_at" in record or not acknowledged or at > offset

    def record(self, task: str) -> dict[bytes, bytes] | None:
        """What is kept of a task."""
        found: dict[bytes, bytes] = self.client.hgetall(self.tenant.key(f"task:{task}"))
        return found or None

    # What the server loses

    @rule(session=st.sampled_from(SESSIONS), what=st.sampled_from(["session", "log"]))
    def a_log_is_lost(self, session: str, what: str) -> None:
        self.client.delete(self.tenant.key(f"{what}:{session}"))

    @precondition(lambda self: self.life.tasks)
    @rule(data=st.data())
    def a_record_is_lost(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.life.tasks)))
        self.client.delete(self.tenant.key(f"task:{name}"), self.tenant.key(f"text:{name}"))
        self.life.lose(self.life.tasks[name])

    @precondition(lambda self: self.firsts)
    @rule(data=st.data())
    def an_idempotency_record_is_lost(self, data: st.DataObject) -> None:
        session, key = data.draw(st.sampled_from(sorted(self.firsts)))
        assert self.client.delete(self.tenant.key(f"idem:{session}:{key}")) == 1
        del self.firsts[session, key]

    # What always holds

    @invariant()
    def logs_tell_what_happened(self) -> None:
        """Live events are the model's, in order; every reader of everything is told the same."""
        for session, log in self.logs.items():
            log.attempts.update({task.id: task.attempt for task in self.life.tasks.values()})
            expected = [told for told in self.life.told if told.session == session]
            self.hear(log, expected)
        self.life.told.clear()
        for log in self.logs.values():
            log.read_all()

    def hear(self, log: ToldLog, expected: list[Told]) -> None:
        """Take what was announced of one session; a new epoch begins at an event of its own only."""
        for told in expected:
            announced = self.next_announced(log.session)
            assert announced.epoch == log.epoch or announced.offset == 1
            log.note(announced)
            known = log.history[-1]
            assert (known.task, known.type) == (told.task, told.type)
            assert told.data.items() <= known.data.items()
            self.endings[known.task] += known.ends
        top = log.stands_at()
        assert top is None or top == log.top

    def next_announced(self, session: str) -> Announced:
        """The next event of a session on the tenant's channel."""
        heard = self.heard[session]
        while not heard:
            message = self.channel.get_message(timeout=5)
            assert message, "the model has an event that was not announced"
            for announced in read_batch(message["data"]):
                self.heard[announced.session].append(announced)
        return heard.pop(0)

    @invariant()
    def records_are_as_the_model_says(self) -> None:
        """And each status follows the one before by the contract's table."""
        reading = self.client.pipeline(transaction=False)
        for task in self.life.tasks:
            reading.hmget(self.tenant.key(f"task:{task}"), "status", "attempt", "code", "held", "seq")
        for task, kept in zip(self.life.tasks.values(), reading.execute(), strict=True):
            status, attempt, code, held, seq = [(value or b"").decode() for value in kept]
            assert (status, int(attempt), bool(held)) == (task.status, task.attempt, task.held), task
            assert not task.open or int(seq) == task.seq
            assert task.open or task.status != "cancelled" or code in ("", task.code)
            before = self.statuses.get(task.id, "accepted")
            assert status == before or is_reachable(before, task.status), (before, status)
            self.statuses[task.id] = task.status

    @invariant()
    def queues_are_as_the_model_says(self) -> None:
        for queue, expected in self.queues.items():
            found = [json.loads(raw) for raw in self.client.lrange(queue, 0, -1)]
            assert [(told["task_id"], told["attempt"]) for told in found] == expected

    @invariant()
    def figures_are_as_the_model_says(self) -> None:
        key = self.tenant.key
        assert self.client.zcard(key("outstanding")) == self.life.outstanding
        assert int(self.client.hget(key("tenant"), "running") or 0) == self.life.running
        unpushed = {task.decode() for task in self.client.zrange(key("unpushed"), 0, -1)} - self.life.lost
        assert unpushed == {task.id for task in self.life.open() if task.unpushed}
        leased = {task.decode() for task in self.client.zrange(key("leases"), 0, -1)} - self.life.lost
        assert leased == {task.id for task in self.life.open() if task.leased}

    @invariant()
    def every_key_has_its_end(self) -> None:
        assert list(keys_without_end(self.client)) == []

    def teardown(self) -> None:
        """Agents answer what they have and what they still get, then every deadline passes: each has ended once."""
        try:
            self.come_to_rest()
        finally:
            self.channel.close()

    def come_to_rest(self) -> None:
        """Nothing is left but the ledgers and the logs."""
        for _ in range(2 + len(self.life.open())):
            self.look()
            for queue in self.queues:
                while self.queues[queue]:
                    self.an_agent_takes_from_its_queue(queue=queue)
            for hand in self.hands[::2]:
                self.report({"task_id": hand.task, "status": "completed", "attempt": hand.attempt})
            self.somebody_pumps()
            self.logs_tell_what_happened()
        self.look(sorted({task.id for task in self.life.open()} | self.life.ghosts))
        self.look()
        self.logs_tell_what_happened()
        self.check_rest()

    def check_rest(self) -> None:
        """Each accepted task has one ending, and nothing counts it any more."""
        assert self.life.open() == []
        for task in self.accepted:
            assert self.endings[task] == 1 or (task in self.life.lost and not self.endings[task]), task
        assert [name for name in FIGURES if self.client.exists(self.tenant.key(name))] == []
        sums = self.client.hmget(self.tenant.key("tenant"), "running", "bytes")
        assert [int(figure or 0) for figure in sums] == [0, 0]
        assert not any(self.client.llen(queue) for queue in [*self.queues, self.tenant.queue])
        self.empty_the_dispatch()

    def empty_the_dispatch(self) -> None:
        """What is left in the order is claimed and found gone; no place is held."""
        while claimed := self.do(self.dispatch.claim(WORKER, LEASE_MS, 100)):
            self.do(self.dispatch.finish([(claim.task, claim.attempt) for claim in claimed], WORKER, ran=False))
        self.do(self.dispatch.finish([(task, 0) for task in self.accepted]))
        left = [key for kind in HOLDING for key in self.client.scan_iter(f"{{dispatch}}:{kind}:*", count=1000)]
        assert not left


def is_reachable(before: Status, after: Status) -> bool:
    """Whether a task may get from one to the other by the contract's table, in however many steps."""
    seen: set[Status] = set()
    ahead = [before]
    while ahead:
        follows = TRANSITIONS[ahead.pop()] - seen
        seen |= follows
        ahead += follows
    return after in seen

