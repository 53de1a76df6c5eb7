"""What a session's log may do, whatever happens to its server (mechanics of log and position).

The model keeps every event that was announced. Losses are those of a real server: a list or a hash that is gone, and
writes that a failover or a cut file takes back. Then a reader must be told that its position holds no more, or get
everything after it.
"""

import asyncio
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.broker.tenant import Tenant, callback, chunk
from tests.broker.told_log import ToldLog
from tests.packed import change_run, state_of, text_of
from tests.servers import wait_blocking

from orchestrator.protocol.batches import read_batch

EVENTS_MAX: Final = 8
BYTES_MAX: Final = 900


class SessionLogModel(RuleBasedStateMachine):
    """One session with a few tasks, its readers' positions, and the faults of its server."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant) -> None:
        super().__init__()
        self.runner = runner
        self.tenant = tenant
        tenant.client.flushall()
        self.channel = tenant.client.pubsub()
        self.channel.ssubscribe(tenant.key("events"))
        wait_blocking(lambda: self.channel.get_message(timeout=1), why="subscribed")
        self.log = ToldLog(runner, tenant)
        self.attempts = self.log.attempts

    def teardown(self) -> None:
        self.channel.close()

    # What happens to the session

    @rule()
    def a_message_is_sent(self) -> None:
        if len(self.attempts) < 4:
            self.attempts[self.runner.run(self.tenant.task())] = 1
            self.listen()

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), text=st.text(st.characters(codec="utf-8"), max_size=40), times=st.integers(1, 3))
    def an_agent_writes(self, data: st.DataObject, text: str, times: int) -> None:
        task = data.draw(st.sampled_from(sorted(self.attempts)))
        for _ in range(times):
            self.deliver(chunk(task, text, attempt=self.attempts[task]))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), status=st.sampled_from(["progress", "completed", "failed"]))
    def an_agent_reports(self, data: st.DataObject, status: str) -> None:
        task = data.draw(st.sampled_from(sorted(self.attempts)))
        self.deliver(callback(task, status, {"n": "x" * 30}))
        if status != "progress":
            del self.attempts[task]

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def a_task_is_cancelled(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.attempts)))
        self.runner.run(self.tenant.tasks.cancel(self.tenant.name, task, ""))
        del self.attempts[task]
        self.listen()

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def an_attempt_follows(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.attempts)))
        self.attempts[task] += 1
        key = self.tenant.key(f"task:{task}")
        self.tenant.client.hset(key, "attempt", self.attempts[task])
        if text_of(self.tenant.client, key)[1]:
            change_run(self.tenant.client, key, attempt=self.attempts[task], next_seq=0)

    # What happens to the server

    @rule()
    def the_list_is_lost(self) -> None:
        self.tenant.client.delete(self.tenant.key("log:sess-1"))

    @rule()
    def the_hash_is_lost(self) -> None:
        self.tenant.client.delete(self.tenant.key("session:sess-1"))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), lost=st.integers(0, 3), again=st.integers(0, 3))
    def a_lagging_replica_takes_over(self, data: st.DataObject, lost: int, again: int) -> None:
        """The last writes are gone, and their offsets are given to others."""
        task = data.draw(st.sampled_from(sorted(self.attempts)))
        kept, epoch, history = self.tenant.dump(), self.log.epoch, list(self.log.history)
        for _ in range(lost):
            self.deliver(chunk(task, "lost", attempt=self.attempts[task]))
        self.tenant.client.flushall()
        for key, (value, until) in kept.items():
            self.tenant.client.restore(key, until, value, absttl=True)
        self.log.epoch, self.log.history = epoch, history
        for _ in range(again):
            self.deliver(chunk(task, "again", attempt=self.attempts[task]))

    # What readers do

    @precondition(lambda self: self.log.positions)
    @rule(back=st.integers(0, 20))
    def readers_resume(self, back: int) -> None:
        for position in self.log.positions[-1 - back :][:4]:
            self.log.resume(position)

    @rule()
    def a_reader_asks_for_everything(self) -> None:
        self.log.resume_earliest()

    # What always holds

    @invariant()
    def the_log_is_bounded(self) -> None:
        assert self.log.length() <= EVENTS_MAX
        known = state_of(self.tenant.client, self.tenant.key("session:sess-1"))
        assert known is None or self.log.length() <= 1 or known.size <= BYTES_MAX

    def deliver(self, raw: bytes) -> None:
        delivered = self.runner.run(self.tenant.deliver(raw))
        assert (delivered.taken, delivered.stop) == (1, "")
        self.listen()

    def listen(self) -> None:
        """Take what was announced, up to where the log stands."""
        top = self.log.stands_at()
        assert top is not None
        while self.log.top < top:
            message = self.channel.get_message(timeout=5)
            assert message, "the log has an event that was not announced"
            for announced in read_batch(message["data"]):
                assert announced.epoch == self.log.epoch
                self.log.note(announced)
        self.log.read_all()
