"""The life of tasks, their attempts and the session's log together, against the real scripts (contract §3 to §5).

Replicas die between any two steps, workers are lost, agents say everything twice and too late, the server loses keys.
After each step the records, the queues, the figures and each session's log are what the model says; in the end each
task has ended once.
"""

import asyncio
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.broker.life import Task
from tests.broker.life_reports import endings, reports
from tests.broker.life_witness import SESSIONS
from tests.broker.life_world import CONTEXTS, LEASE_MS, WORKER, Hand, LifeWorld
from tests.broker.tenant import Tenant

from orchestrator.broker.admissions import AdmitRequest
from orchestrator.broker.logs import Settled
from orchestrator.protocol.position import Position, parse_position
from orchestrator.protocol.turn_policies import TURN_POLICIES, TurnPolicy

OUTSTANDING_MAX: Final = 7
# What may happen next, each as often as it stands here. As rules of their own half of them would be left out in each
# run, and of messages without agents, or agents without messages, there is nothing to see.
STEPS: Final = (
    *["a_message_is_sent"] * 6,
    *["a_send_is_repeated"] * 2,
    *["agents_take"] * 1,
    *["a_worker_claims"] * 3,
    *["an_agent_reports"] * 7,
    *["an_agent_ends"] * 3,
    *["an_agent_takes_what_it_was_handed"] * 2,
    *["a_report_comes_again"] * 2,
    *["the_agenda_looks"] * 4,
    *["somebody_looks_after_turns"] * 2,
    *["somebody_cancels"] * 1,
    *["a_worker_is_lost"] * 2,
    *["readers_resume"] * 3,
    *["a_reader_acknowledges"] * 1,
    *["something_is_lost"] * 3,
)


class LifeModel(RuleBasedStateMachine):
    """A tenant with two sessions and two agents, and everybody who looks after its tasks."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant) -> None:
        super().__init__()
        self.runner = runner
        self.tenant = tenant
        self.world = LifeWorld(runner, tenant)
        self.life = self.world.life
        self.steps: list[str] = []
        self.firsts: dict[tuple[str, str], tuple[str, str, str]] = {}
        self.requests: dict[str, tuple[AdmitRequest, str]] = {}
        self.before: dict[str, list[Position]] = {name: [] for name in SESSIONS}

    def do(self, work: Any) -> Any:
        """What an asynchronous step returns."""
        return self.runner.run(work)

    @initialize(data=st.data(), lossless=st.sampled_from([False, False, True]))
    def it_begins(self, data: st.DataObject, lossless: bool) -> None:
        """A worker lives, and something is there; some servers lose nothing."""
        self.steps = [step for step in STEPS if not (lossless and step == "something_is_lost")]
        self.do(self.world.dispatch.register(WORKER, CONTEXTS, 9, LEASE_MS))
        self.a_message_is_sent(data)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        getattr(self, data.draw(st.sampled_from(self.steps)))(data)

    # Messages

    def a_message_is_sent(self, data: st.DataObject) -> None:
        """With or without a key; who dies on the way has not pushed it, or not said so."""
        policy: TurnPolicy = data.draw(st.sampled_from(["parallel", "parallel", "steer", *TURN_POLICIES]))
        talk = self.world.talks[data.draw(st.sampled_from(SESSIONS))]
        asked = talk.request(
            policy,
            data.draw(st.sampled_from(CONTEXTS)),
            stream=data.draw(st.sampled_from([True, True, True, False])),
            idempotency=data.draw(st.sampled_from(["", "", "", "k1", "k2"])),
            fingerprint=data.draw(st.sampled_from(["f1", "f1", "f2"])),
            max_outstanding=OUTSTANDING_MAX,
        )
        expected = self.expected_outcome(asked, policy)
        stops, _ = self.life.stops(policy, asked.session, asked.context)
        queued = [task for task in stops if task.status != "running"]
        reply = self.do(talk.admit(asked, pushes=False))
        assert reply.outcome == expected
        if expected == "replayed":
            assert (reply.task, reply.position) == self.firsts[asked.session, asked.idempotency][1:]
        if expected == "accepted":
            self.note_accepted(asked, policy, reply.position)
            assert reply.held == self.life.tasks[asked.task].held
            self.world.check_withdrawn(queued)
            pushed = data.draw(st.sampled_from(["told", "told", "pushed", "not pushed"]))
            if not reply.held and pushed != "not pushed":
                self.do(self.world.push(asked, tells=pushed == "told"))

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
        self.requests[asked.task] = asked, position
        if asked.idempotency:
            self.firsts[asked.session, asked.idempotency] = asked.fingerprint, asked.task, position
        self.life.accept(Task(asked.task, asked.session, asked.context, asked.stream), policy)
        stood = parse_position(position)
        assert stood
        self.before[asked.session].append(stood)

    def a_send_is_repeated(self, data: st.DataObject) -> None:
        """By its task, which finds what was done, though the next attempt has begun; or so late that it is refused."""
        if self.life.tasks:
            task = self.life.tasks[data.draw(st.sampled_from(sorted(self.life.tasks)))]
            asked, position = self.requests[task.id]
            reply = self.do(self.tenant.admissions.admit(self.tenant.name, asked, b"{}"))
            told = (reply.outcome, reply.position, reply.held)
            assert told == ("accepted", position, task.held or not task.open)
            if not reply.held:
                self.do(self.world.push(asked, tells=True))
        assert self.do(self.tenant.admit(not_after=1)).outcome == "late"

    # Agents

    def agents_take(self, data: st.DataObject) -> None:
        """By BRPOP, as any agent may."""
        self.world.take(data.draw(st.integers(1, 3)))

    def a_worker_claims(self, data: st.DataObject) -> None:
        """By the fair dispatch."""
        self.do(self.world.claim(data.draw(st.integers(1, 3))))

    def some_hand(self, data: st.DataObject) -> Hand | None:
        """Mostly one that still counts; where nobody has one, somebody takes one."""
        if not any(map(self.world.counts, self.world.hands)):
            self.world.take(1)
        counts = [hand for hand in self.world.hands if self.world.counts(hand)]
        late = not counts or data.draw(st.sampled_from([False, False, False, True]))
        hands = self.world.hands if late else counts
        return data.draw(st.sampled_from(hands)) if hands else None

    def an_agent_reports(self, data: st.DataObject) -> None:
        """Something that is no ending, with numbers that repeat, are missing or leave something out."""
        hand = self.some_hand(data)
        if hand is None:
            return
        says_attempt = data.draw(st.sampled_from([True, True, False]))
        for _ in range(data.draw(st.integers(1, 3))):
            told = {"task_id": hand.task, **data.draw(reports())}
            self.world.report(told | ({"attempt": hand.attempt} if says_attempt else {}))
        self.do(self.world.pump())

    def an_agent_ends(self, data: st.DataObject) -> None:
        """Its attempt; the callback may have to wait, and a worker may tell the dispatch before."""
        hand = self.some_hand(data)
        if hand is None:
            return
        self.world.report({"task_id": hand.task, "attempt": hand.attempt, **data.draw(endings())})
        if data.draw(st.booleans()):
            self.do(self.world.dispatch.finish([(hand.task, hand.attempt)], hand.worker))
        if data.draw(st.sampled_from([True, True, False])):
            self.do(self.world.pump())

    def an_agent_takes_what_it_was_handed(self, data: st.DataObject) -> None:
        """A message of its inbox, or what it says was in it: by `took`, or by a report of that task itself."""
        hand = self.some_hand(data)
        if hand:
            handed = [task.id for task in self.life.open() if task.target]
            took = data.draw(st.sampled_from(handed or sorted(self.requests)))
            told = {"task_id": hand.task, "status": "running", "took": [took]}
            itself = {"task_id": took, "status": data.draw(st.sampled_from(["running", "completed"]))}
            self.world.report(data.draw(st.sampled_from([told, told, itself])))
            self.do(self.world.pump())

    def a_report_comes_again(self, data: st.DataObject) -> None:
        """Word for word, or with the number of an attempt that has not begun."""
        if self.world.reported:
            told = data.draw(st.sampled_from(self.world.reported))
            ahead = data.draw(st.sampled_from([0, 0, 1]))
            self.world.report(told | ({"attempt": told["attempt"] + ahead} if "attempt" in told else {}))
            self.do(self.world.pump())

    # Whoever looks after them

    def the_agenda_looks(self, data: st.DataObject) -> None:
        """Time has passed for some; a replica may die before it has run the errands."""
        self.do(self.world.pump())
        known = sorted({task.id for task in self.life.open()} | self.life.ghosts)
        most = data.draw(st.sampled_from([0, 0, 0, 1, 2]))
        due = data.draw(st.lists(st.sampled_from(known), max_size=most, unique=True)) if known else []
        lapsed, dies = data.draw(st.booleans()), data.draw(st.booleans())
        self.do(self.world.look(due, lapsed=lapsed, dies=dies))

    def somebody_looks_after_turns(self, data: st.DataObject) -> None:
        """Whoever notes an ending."""
        session = data.draw(st.sampled_from(SESSIONS))
        self.do(self.world.advance(session, dies=data.draw(st.booleans())))

    def somebody_cancels(self, data: st.DataObject) -> None:
        """At once, and for good."""
        name = data.draw(st.sampled_from(sorted(self.requests)))
        task = self.life.tasks.get(name)
        expected = "not_found" if task is None else "cancelled" if task.open else "ended"
        cancelled, errands = self.do(self.tenant.tasks.cancel(self.tenant.name, name, ""))
        assert cancelled.outcome == expected
        if task and expected == "cancelled":
            queued = [task] if task.status != "running" else []
            self.life.end(task, "cancelled", "cancelled")
            self.do(self.world.run_errands(errands))
            self.world.check_withdrawn(queued)
            assert self.tenant.client.exists(self.tenant.key(f"cancel:{name}"))

    def a_worker_is_lost(self, data: st.DataObject) -> None:
        """With something in its hands."""
        claimed = [hand.task for hand in self.world.hands if hand.worker]
        if claimed:
            task = data.draw(st.sampled_from(claimed))
            self.do(self.world.lose_worker(task, crashes=data.draw(st.booleans())))

    # Readers

    def readers_resume(self, data: st.DataObject) -> None:
        """With positions of events, with those of answers to sends, and with none."""
        session, back = data.draw(st.sampled_from(SESSIONS)), data.draw(st.integers(0, 30))
        log = self.world.witness.logs[session]
        for position in [*log.positions[-1 - back :][:2], *self.before[session][-1 - back :][:1]]:
            log.resume(position)
        log.resume_earliest()

    def a_reader_acknowledges(self, data: st.DataObject) -> None:
        """What reached it, and what it has shown."""
        log = self.world.witness.logs[data.draw(st.sampled_from(SESSIONS))]
        if not log.history or not log.exists():
            return
        offset = data.draw(st.integers(0, log.top))
        self.do(self.tenant.logs.settle(self.tenant.name, [Settled(log.session, log.epoch, log.top, offset)]))
        for known in log.history:
            record = self.world.witness.record(known.task) if known.ends else {}
            if record:
                assert b"delivered_at" in record
                assert b"acknowledged_at" in record or known.offset > offset

    # What the server loses

    def something_is_lost(self, data: st.DataObject) -> None:
        """A key whose time is over, or that a failover has lost."""
        what = data.draw(st.sampled_from(["session", "log", "idempotency", "record", "record"]))
        client, key = self.tenant.client, self.tenant.key
        if what == "record" and self.life.tasks:
            name = data.draw(st.sampled_from(sorted(self.life.tasks)))
            client.delete(key(f"task:{name}"), key(f"text:{name}"))
            self.life.lose(self.life.tasks[name])
        elif what == "idempotency" and self.firsts:
            session, first = data.draw(st.sampled_from(sorted(self.firsts)))
            assert client.delete(key(f"idem:{session}:{first}")) == 1
            del self.firsts[session, first]
        elif what in {"session", "log"}:
            client.delete(key(f"{what}:{data.draw(st.sampled_from(SESSIONS))}"))

    # What always holds

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """Agents answer half of what they have and still get, then every deadline passes: each has ended once."""
        try:
            for _ in range(2 + len(self.life.open())):
                self.do(self.world.look())
                self.world.take(99)
                for hand in self.world.hands[::2]:
                    told = {"task_id": hand.task, "status": "completed", "attempt": hand.attempt}
                    self.world.report(told)
                self.do(self.world.pump())
                self.world.check()
            self.do(self.world.look(sorted({task.id for task in self.life.open()} | self.life.ghosts)))
            self.do(self.world.look())
            self.world.check()
            self.do(self.world.check_rest(sorted(self.requests)))
        finally:
            self.world.witness.channel.close()
