"""Compares a tenant on a real server with `Life`, its model: records, queues, figures, and what viewers are told."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Final

from tests.broker.life import Life
from tests.broker.tenant import Tenant
from tests.broker.told_log import ToldLog
from tests.packed import Run, text_of
from tests.permanent_keys import keys_without_end
from tests.servers import wait_blocking

from orchestrator.protocol.batches import Announced, read_batch
from orchestrator.protocol.tasks import TRANSITIONS

SESSIONS: Final = ("sess-1", "sess-2")
_FOLLOWS: Final[Mapping[str, frozenset[str]]] = {
    status: frozenset(after) for status, after in TRANSITIONS.items()
}


class Witness:
    """Hears the tenant's channel, reads the sessions' logs, and looks at every key."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant, life: Life) -> None:
        self.tenant = tenant
        self.client = tenant.client
        self.life = life
        self.channel = self.client.pubsub()
        self.channel.ssubscribe(tenant.key("events"))
        wait_blocking(lambda: self.channel.get_message(timeout=1), why="subscribed")
        self.logs = {name: ToldLog(runner, tenant, name) for name in SESSIONS}
        for log in self.logs.values():
            log.lost = life.lost
        self.endings: Counter[str] = Counter()
        self._statuses: dict[str, str] = {}
        self._heard: dict[str, list[Announced]] = {name: [] for name in SESSIONS}

    def check(self, queues: Mapping[str, list[tuple[str, int]]]) -> None:
        """The server is as the model says, and so is what everybody has heard of it."""
        self._check_logs()
        self._check_records()
        self._check_queues(queues)
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
            reading.hmget(self.tenant.key(f"task:{task}"), "status", "attempt", "code", "held")
        for task, kept in zip(self.life.tasks.values(), reading.execute(), strict=True):
            status, attempt, code, held = [(value or b"").decode() for value in kept]
            _, run = text_of(self.client, self.tenant.key(f"task:{task.id}"))
            seq = Run.read(run).seq if run else -1
            assert (status, int(attempt), bool(held)) == (task.status, task.attempt, task.held), task
            assert seq == task.seq or not task.open
            assert code in {"", task.code}
            before = self._statuses.get(task.id, "accepted")
            assert status == before or task.status in _after(before), (before, status)
            self._statuses[task.id] = task.status

    def _check_queues(self, queues: Mapping[str, list[tuple[str, int]]]) -> None:
        for queue, expected in queues.items():
            found = [json.loads(raw) for raw in self.client.lrange(queue, 0, -1)]
            assert [(told["task_id"], told["attempt"]) for told in found] == expected

    def _check_figures(self) -> None:
        """Lost tasks are left where they are until somebody comes to them."""
        assert self.client.zcard(self.tenant.key("outstanding")) == self.life.outstanding
        assert int(self.client.hget(self.tenant.key("tenant"), "running") or 0) == self.life.running
        unpushed = {task.id for task in self.life.open() if task.unpushed}
        assert self.listed("unpushed") - self.life.lost == unpushed
        leased = {task.id for task in self.life.open() if task.leased}
        assert self.listed("leases") - self.life.lost == leased

    def listed(self, name: str) -> set[str]:
        """The tasks in one of the tenant's sorted sets."""
        return {task.decode() for task in self.client.zrange(self.tenant.key(name), 0, -1)}

    def record(self, task: str) -> dict[bytes, bytes]:
        """What is kept of a task."""
        found: dict[bytes, bytes] = self.client.hgetall(self.tenant.key(f"task:{task}"))
        return found


def _after(status: str) -> set[str]:
    """Where a task may get by the contract's table, in however many steps."""
    seen: set[str] = set()
    ahead = [status]
    while ahead:
        follows = _FOLLOWS[ahead.pop()] - seen
        seen |= follows
        ahead += follows
    return seen
