"""One tenant on a real server, driven through the typed functions that the service uses."""

import json
from typing import Any, Final

import msgspec
import redis

from orchestrator.broker.admissions import Admissions, AdmitReply, AdmitRequest
from orchestrator.broker.broker import Broker, Keeping
from orchestrator.broker.callbacks import Callbacks, Delivered
from orchestrator.broker.dead_letters import DeadLetter, DeadLetters
from orchestrator.broker.keys import execution_queue
from orchestrator.broker.logs import Logs, Opened, OpenRequest, Top, Touch
from orchestrator.broker.tasks import Record, Tasks
from orchestrator.protocol.events import Event, SessionName, read_event
from orchestrator.protocol.position import Position

SECOND: Final = 1_000_000
KEEPING: Final = Keeping(
    log_ttl_seconds=3_600,
    task_ttl_seconds=86_400,
    log_max_events=10_000,
    log_max_bytes=8 * 2**20,
    max_attempts=3,
    lease_seconds=15,
)
AGENT: Final = "agent-123"
QUEUE: Final = execution_queue(AGENT, "free")


class Tenant:
    """What a test does to one tenant, and what it finds of it."""

    def __init__(self, broker: Broker, client: Any, name: str = "acme") -> None:
        self.name: Final = name
        self.broker: Final = broker
        self.client: Final = client
        self.admissions: Final = Admissions(broker)
        self.callbacks: Final = Callbacks(broker)
        self.tasks: Final = Tasks(broker)
        self.logs: Final = Logs(broker)
        self.queue: Final = broker.keys.callbacks(name)
        self.letters: Final = DeadLetters(broker)
        self._number = 0

    def another(self, name: str) -> "Tenant":
        """A second tenant on the same server."""
        return Tenant(self.broker, self.client, name)

    async def touch(self, *sessions: str) -> list[Top]:
        """Where the logs of these sessions stand; they are kept."""
        return (await self.logs.touch("r1", [Touch(self.name, list(sessions))]))[0]

    def key(self, name: str) -> str:
        """A key in this tenant's slot."""
        return self.broker.keys.of_tenant(self.name, name)

    def request(self, **changes: Any) -> AdmitRequest:
        """A send that is accepted, with `changes`; `timeout` is in seconds."""
        now = self.broker.clock.now()
        self._number += 1
        timeout = changes.pop("timeout", 300)
        asked = AdmitRequest(
            task=f"task-{self.name}-{self._number}",
            session="sess-1",
            user="",
            context=AGENT,
            contexts=[AGENT],
            tier="free",
            queue=QUEUE,
            stream=True,
            created=now,
            deadline=now + int(timeout * SECOND),
            not_after=now + 60 * SECOND,
            fingerprint="",
            idempotency="",
            idempotency_ttl=86_400 * SECOND,
            validate=False,
            session_limit=0,
            per_minute=1_000_000,
            burst=100_000,
            max_outstanding=100_000,
            max_outstanding_bytes=2**30,
        )
        return msgspec.structs.replace(asked, **changes)

    async def admit(self, payload: bytes = b"{}", **changes: Any) -> AdmitReply:
        """Ask for admission of a new task."""
        return await self.admissions.admit(self.name, self.request(**changes), payload)

    async def task(self, **changes: Any) -> str:
        """The id of a task that was just accepted."""
        reply = await self.admit(**changes)
        assert reply.outcome == "accepted", reply
        return reply.task

    def report(self, *raws: bytes) -> None:
        """LPUSH callbacks as they are, in this order."""
        for start in range(0, len(raws), 500):
            self.client.lpush(self.queue, *raws[start : start + 500])

    async def deliver(self, *raws: bytes) -> Delivered:
        """Push callbacks and have one call take them."""
        self.report(*raws)
        return (await self.callbacks.deliver([self.name]))[0]

    async def deliver_all(self, *raws: bytes) -> None:
        """Push callbacks and have all of them taken, by as many calls as that needs."""
        delivered = await self.deliver(*raws)
        while delivered.left:
            assert delivered.taken
            delivered = (await self.callbacks.deliver([self.name]))[0]

    async def record(self, task: str) -> Record:
        """The task's record, which there is."""
        found = await self.tasks.record(self.name, task)
        assert found is not None
        return found

    async def status(self, task: str) -> str:
        """Where the task is in its life."""
        return (await self.record(task))["status"].decode()

    async def open(self, resume: Position | str = "earliest", **changes: Any) -> tuple[Opened, list[Event]]:
        """A reader comes to the session: what it is told, and the first page."""
        asked = OpenRequest(
            session="sess-1", user="", tier="free", validate=False, resume=resume,
            replica="r1", sockets=1, sockets_max=9,
        )  # fmt: skip
        asked = msgspec.structs.replace(asked, **changes)
        opened, entries = await self.logs.open(self.name, asked)
        name = SessionName(self.name, asked.session, opened.epoch)
        return opened, [read_event(name, *pair) for pair in zip(opened.offsets, entries, strict=True)]

    async def frames(self, resume: Position | str = "earliest", **changes: Any) -> list[dict[str, Any]]:
        """The events of the session as frames, from the beginning of what is kept."""
        return [json.loads(event.frame()) for event in (await self.open(resume, **changes))[1]]

    async def dead(self) -> list[DeadLetter]:
        """The dead letters, the newest first."""
        return await self.letters.of(self.name, 0, 2_000)

    def dump(self) -> dict[bytes, tuple[bytes | None, int]]:
        """Every key of the tenant with its whole value and its expiry."""
        keys = sorted(key for key in self.client.scan_iter(count=1000) if self.queue.encode() in key)
        return {key: (self.client.dump(key), self.client.pexpiretime(key)) for key in keys}


def callback(task: str, status: str, result: Any = None, **members: Any) -> bytes:
    """A callback as an agent in any language writes it."""
    told: dict[str, Any] = {"task_id": task, "status": status, **members}
    if result is not None:
        told["result"] = result
    return json.dumps(told).encode()


def chunk(task: str, delta: str, seq: int | None = None, **members: Any) -> bytes:
    """A piece of an answer."""
    return callback(task, "streaming", {"delta": delta}, **({} if seq is None else {"seq": seq}), **members)


def counted(delivered: Delivered) -> dict[str, int]:
    """What a call counted."""
    return delivered.counts


def raw_client(port: int) -> Any:
    """A client for what a test does behind the service's back."""
    return redis.Redis(port=port)
