"""What a session's messages may do to each other, whatever happens to whoever looks after them (contract §3).

The model is the contract's table in Python. Replicas die between an ending and what follows from it, and between
letting a message go and its push; the agenda's look is all that is left then.
"""

import asyncio
import json
from collections import Counter
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.broker.conversation import OTHER, Conversation
from tests.broker.tenant import AGENT, Tenant

from orchestrator.broker.keys import execution_queue
from orchestrator.protocol.turn_policies import TURN_POLICIES

CONTEXTS: Final = (AGENT, OTHER)


class Open(msgspec.Struct):
    """A task without an ending."""

    task: str
    context: str
    started: bool = False
    held: bool = False
    target: str = ""
    """The task to whose inbox it was added."""


class TurnsModel(RuleBasedStateMachine):
    """One session, its agents, and the replicas that look after it."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant) -> None:
        super().__init__()
        self.runner = runner
        self.tenant = tenant
        tenant.client.flushall()
        self.talk = Conversation(tenant)
        self.open: list[Open] = []
        self.ends: dict[str, str] = {}
        self.only_queue = False
        self.taken: dict[str, str] = {}

    def do(self, work: Any) -> Any:
        """What an asynchronous step returns."""
        return self.runner.run(work)

    @initialize(only_queue=st.booleans())
    def begins(self, only_queue: bool) -> None:
        self.only_queue = only_queue

    # What happens to the session

    @rule(data=st.data(), context=st.sampled_from(CONTEXTS), pushes=st.booleans())
    def a_message_is_sent(self, data: st.DataObject, context: str, pushes: bool) -> None:
        policy = "queue" if self.only_queue else data.draw(st.sampled_from(TURN_POLICIES))
        busy = policy == "reject" and bool(self.open)
        reply = self.do(self.talk.admit(self.talk.request(policy, context), pushes=pushes))
        assert reply.outcome == ("session_busy" if busy else "accepted")
        if busy:
            return
        new = Open(reply.task, context)
        self.decide(policy, new)
        assert reply.held is new.held
        self.open.append(new)

    def decide(self, policy: str, new: Open) -> None:
        """The contract's table."""
        if policy == "queue":
            new.held = bool(self.open)
        elif policy == "interrupt":
            self.end(self.open, "superseded")
        elif policy == "latest":
            self.end([task for task in self.open if not task.started], "superseded")
            new.held = bool(self.open)
        elif policy == "merge":
            begun = {task.task for task in self.open if task.started}
            joined = [
                task
                for task in self.open
                if not task.started and task.context == new.context and task.target not in begun
            ]
            self.end(joined, "merged")
            new.held = bool(self.open)
        elif policy == "steer":
            targets = [task for task in self.open if not task.held and task.context == new.context]
            if targets:
                new.held, new.target = True, targets[-1].task

    def end(self, tasks: list[Open], code: str) -> None:
        """These end."""
        for task in list(tasks):
            self.open.remove(task)
            assert task.task not in self.ends
            self.ends[task.task] = code

    def take(self, task: Open) -> bool:
        """Whether an agent has the task: it took it before, or takes it from its queue now."""
        queue = execution_queue(task.context, "free")
        return task.started or self.tenant.client.lrem(queue, 1, self.talk.payloads[task.task]) == 1

    @property
    def active(self) -> list[Open]:
        """What was let go and has no ending."""
        return [task for task in self.open if not task.held]

    @precondition(lambda self: self.active)
    @rule(data=st.data())
    def an_agent_begins(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.active))
        if self.take(task):
            self.do(self.talk.report(task.task, "running"))
            task.started = True

    @precondition(lambda self: self.active)
    @rule(data=st.data(), status=st.sampled_from(["completed", "failed"]), noted=st.booleans())
    def an_agent_ends(self, data: st.DataObject, status: str, noted: bool) -> None:
        task = data.draw(st.sampled_from(self.active))
        if not self.take(task):
            return
        self.do(self.talk.report(task.task, status))
        self.end([task], {"failed": "agent_failed"}.get(status, status))
        if noted:
            self.somebody_notes_it()

    @precondition(lambda self: any(task.target for task in self.open))
    @rule(data=st.data())
    def an_agent_takes_what_it_was_handed(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from([task for task in self.open if task.target]))
        target = next((other for other in self.open if other.task == task.target), None)
        if target is not None and not self.take(target):
            return
        delivered = self.do(self.talk.report(task.target, "running", took=[task.task]))
        if target is None:
            assert delivered.counts == {"dropped|late": 1}
            return
        target.started = True
        self.taken[task.task] = task.target
        self.end([task], "merged")

    @precondition(lambda self: self.open)
    @rule(data=st.data(), noted=st.booleans())
    def somebody_cancels(self, data: st.DataObject, noted: bool) -> None:
        task = data.draw(st.sampled_from(self.open))
        cancelled, errands = self.do(self.tenant.tasks.cancel(self.tenant.name, task.task, ""))
        assert cancelled.outcome == "cancelled"
        self.do(self.talk.run(errands))
        self.end([task], "cancelled")
        if noted:
            self.somebody_notes_it()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def a_deadline_passes(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.open))
        self.tenant.client.zadd(self.tenant.key("outstanding"), {task.task: 1})
        self.the_agenda_looks()
        self.end([task], "deadline")

    @rule(dies=st.booleans())
    def somebody_notes_it(self, dies: bool = False) -> None:
        """Whoever notes an ending; who dies has let a message go and not pushed it."""
        waits = [] if self.active else self.open[:1]
        if dies:
            released = self.do(self.talk.turns.advance(self.tenant.name, "sess-1"))[0].released
        else:
            released = self.do(self.talk.advance())
        assert released == "".join(task.task for task in waits)
        for task in waits:
            task.held, task.target = False, ""

    @rule()
    def the_agenda_looks(self) -> None:
        """What is overdue, and what nobody pushed."""
        for name in ("held", "unpushed"):
            for task in self.tenant.client.zrange(self.tenant.key(name), 0, -1):
                self.tenant.client.zadd(self.tenant.key(name), {task: 1})
        tended, errands = self.do(self.tenant.tasks.tend(self.tenant.name))
        self.do(self.talk.run(errands))
        assert tended.turns in ([], ["sess-1"])
        self.turns_found = tended.turns

    # What always holds

    @invariant()
    def all_is_as_the_table_says(self) -> None:
        for task in self.open:
            record = self.do(self.tenant.record(task.task))
            assert (record.get("held", b"") != b"") is task.held, task
            assert record["status"] in ({b"running"} if task.started else {b"accepted", b"queued"})
        assert sorted(self.talk.held()) == sorted(task.task for task in self.open if task.held)
        assert self.talk.count() == len(self.talk.held())
        assert not self.only_queue or len(self.active) <= 1

    @invariant()
    def nothing_else_is_on_a_queue(self) -> None:
        expected = {self.talk.payloads[task.task] for task in self.active}
        for context in CONTEXTS:
            waiting = self.talk.queued(context)
            assert max(Counter(waiting).values(), default=1) == 1
            assert set(waiting) <= expected

    @invariant()
    def inboxes_have_what_was_handed_over(self) -> None:
        for task in [task.task for task in self.open] + list(self.ends):
            lines = self.tenant.client.lrange(self.tenant.key(f"inbox:{task}"), 0, -1)
            found = {json.loads(line)["task_id"] for line in lines}
            handed = {other.task for other in self.open if other.target == task}
            taken = {other for other, target in self.taken.items() if target == task}
            assert found == (set() if task in self.ends else handed | taken)

    def teardown(self) -> None:
        """With nothing but the agenda and an agent for each, everything ends, and has ended once."""
        for _ in range(2 * len(self.open)):
            self.the_agenda_looks()
            if self.turns_found:
                self.somebody_notes_it()
            for task in filter(self.take, list(self.active)):
                self.do(self.talk.report(task.task, "completed"))
                self.end([task], "completed")
        assert self.open == []
        assert self.do(self.talk.codes()) == self.ends
        frames = self.do(self.tenant.frames())
        endings = [frame["task_id"] for frame in frames if frame["type"] in {"error", "agent_response"}]
        assert sorted(endings) == sorted(self.ends)
        for name in ("held", "outstanding", "unpushed"):
            assert not self.tenant.client.exists(self.tenant.key(name))
