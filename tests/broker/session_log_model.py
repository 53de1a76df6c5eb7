"""What a session's log may do, whatever happens to its server (mechanics of log and position).

The model keeps every event that was announced. Losses are those of a real server: a list or a hash that is gone, and
writes that a failover or a cut file takes back. Then a reader must be told that its position holds no more, or get
everything after it.
"""

import asyncio
import json
from typing import Final

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.broker.tenant import Tenant, callback, chunk
from tests.servers import wait_blocking

from orchestrator.protocol.batches import read_batch
from orchestrator.protocol.events import Event, SessionName, read_event
from orchestrator.protocol.position import Position

EVENTS_MAX: Final = 8
BYTES_MAX: Final = 900


class Known(msgspec.Struct, frozen=True):
    """An event as it was announced."""

    offset: int
    at: int
    task: str
    ends: bool
    delta: str | None
    attempt: int


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
        self.epoch = ""
        self.history: list[Known] = []
        self.attempts: dict[str, int] = {}
        self.positions: list[Position] = []
        self.seen: set[tuple[str, int, int]] = set()

    def teardown(self) -> None:
        self.channel.close()

    @property
    def top(self) -> int:
        return len(self.history)

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
        self.tenant.client.hset(key, mapping={"attempt": self.attempts[task], "seq": -1})

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
        kept, epoch, history = self.tenant.dump(), self.epoch, list(self.history)
        for _ in range(lost):
            self.deliver(chunk(task, "lost", attempt=self.attempts[task]))
        self.tenant.client.flushall()
        for key, (value, until) in kept.items():
            self.tenant.client.restore(key, until, value, absttl=True)
        self.epoch, self.history = epoch, history
        for _ in range(again):
            self.deliver(chunk(task, "again", attempt=self.attempts[task]))

    # What readers do

    @precondition(lambda self: self.positions)
    @rule(back=st.integers(0, 20))
    def readers_resume(self, back: int) -> None:
        for position in self.positions[-1 - back :][:4]:
            self.resume(position)

    @rule()
    def a_reader_asks_for_everything(self) -> None:
        length = self.length()
        opened, events = self.runner.run(self.tenant.open("earliest"))
        self.adopt(opened.epoch)
        assert opened.start == (self.top - length if self.history else 0)
        self.check(opened.start, events, opened.reached)

    def resume(self, position: Position) -> None:
        length = self.length()
        lost = not self.tenant.client.exists(self.tenant.key("session:sess-1"))
        opened, events = self.runner.run(self.tenant.open(position))
        kept = self.top - length <= position.offset <= self.top
        entry = self.history[position.offset - 1] if 0 < position.offset <= self.top else None
        checked = entry is not None and (position.offset > self.top - length or position.offset == self.top)
        right = not checked or (entry is not None and entry.at == position.mark)
        expected = not lost and position.epoch == self.epoch and kept and right
        assert opened.recovered == expected
        self.adopt(opened.epoch)
        if expected:
            self.check(position.offset, events, opened.reached)
        else:
            assert events == []

    # What always holds

    @invariant()
    def the_log_is_bounded(self) -> None:
        assert self.length() <= EVENTS_MAX
        known = self.tenant.client.hget(self.tenant.key("session:sess-1"), "bytes")
        assert known is None or self.length() <= 1 or int(known) <= BYTES_MAX

    def length(self) -> int:
        """Entries in the list that still belong to the session."""
        alive = self.tenant.client.exists(self.tenant.key("session:sess-1"))
        return int(self.tenant.client.llen(self.tenant.key("log:sess-1"))) if alive else 0

    def deliver(self, raw: bytes) -> None:
        delivered = self.runner.run(self.tenant.deliver(raw))
        assert (delivered.taken, delivered.stop) == (1, "")
        self.listen()

    def adopt(self, epoch: str) -> None:
        """Where the epoch is another one, everything begins anew."""
        if epoch != self.epoch:
            self.epoch, self.history = epoch, []

    def listen(self) -> None:
        """Take what was announced, up to where the log stands."""
        epoch, top = self.tenant.client.hmget(self.tenant.key("session:sess-1"), "epoch", "top")
        self.adopt(epoch.decode())
        while self.top < int(top):
            message = self.channel.get_message(timeout=5)
            assert message, "the log has an event that was not announced"
            for announced in read_batch(message["data"]):
                assert announced.epoch == self.epoch
                event = read_event(
                    SessionName("acme", "sess-1", self.epoch), announced.offset, announced.entry
                )
                self.note(event)
        kept = self.top - self.length()
        page, entries = self.runner.run(self.tenant.logs.read("acme", "sess-1", self.epoch, kept))
        name = SessionName("acme", "sess-1", self.epoch)
        events = [read_event(name, *pair) for pair in zip(page.offsets, entries, strict=True)]
        self.check(kept, events, page.reached)

    def note(self, event: Event) -> None:
        """Offsets rise by one, and none is ever given to two events of one moment."""
        assert event.offset == self.top + 1
        identity = (self.epoch, event.offset, event.at)
        assert identity not in self.seen
        self.seen.add(identity)
        self.positions.append(Position(self.epoch, event.offset, event.at))
        data = json.loads(event.frame())["data"]
        self.history.append(
            Known(
                event.offset, event.at, event.task_id, event.ends, data.get("delta"), data.get("attempt", 0)
            )
        )

    def check(self, start: int, events: list[Event], reached: int) -> None:
        """Every event after `start` is told, or stands in one that is; nothing is told twice."""
        assert reached == self.top
        last = start
        for event in events:
            assert event.offset > last
            told = self.history[event.offset - 1]
            assert (told.at, told.task, told.ends) == (event.at, event.task_id, event.ends)
            passed = self.history[last : event.offset - 1]
            if told.delta is not None:
                data = json.loads(event.frame())["data"]
                merged = [told.delta]
                while passed and (passed[-1].task, passed[-1].attempt) == (told.task, told.attempt):
                    merged.insert(0, passed.pop().delta or "")
                assert data["delta"] == "".join(merged)
            self.check_covered(passed)
            last = event.offset
        self.check_covered(self.history[last:])

    def check_covered(self, passed: list[Known]) -> None:
        """What was left out are chunks of tasks that ended later in the log, or of older attempts."""
        for known in passed:
            assert known.delta is not None
            ended = any(later.ends and later.task == known.task for later in self.history[known.offset :])
            assert ended or self.attempts.get(known.task, 0) > known.attempt
