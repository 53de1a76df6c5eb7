"""A send's answer is true whatever Redis and the database do meanwhile (contract §3)."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import msgspec
import pytest
from tests.admission.sending import Records, Sending
from tests.broker.tenant import KEEPING, QUEUE, Tenant, callback, raw_client
from tests.servers import valkey_server, wait_until

from orchestrator.broker import connection
from orchestrator.broker.admissions import Admissions, AdmitReply
from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import ReplyLost, Unavailable
from orchestrator.broker.dispatch import Dispatch
from orchestrator.broker.keys import Keys
from orchestrator.dispatch.dispatcher import Dispatcher
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.dispatch.tenant_shares import TenantShares
from orchestrator.embedded import ValkeyServer
from orchestrator.errors import Problem
from orchestrator.protocol.tiers import DEFAULT_LIMITS
from orchestrator.store.records import ContextRules
from orchestrator.telemetry import configure_logging


@pytest.fixture(scope="module")
def own_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey that a test may stop and kill."""
    with valkey_server(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
async def broker(own_process: ValkeyServer) -> AsyncIterator[Broker]:
    """A broker on that server, empty and running at the start."""
    if not own_process.running:
        own_process.start()
    with raw_client(own_process.port) as client:
        client.flushall()
    async with Broker(own_process.url, Keys("orchestrator", "orchestrator"), KEEPING) as opened:
        await opened.set_clock()
        yield opened
    if own_process.running:
        os.kill(own_process.pid, signal.SIGCONT)


@pytest.fixture
async def sending(broker: Broker) -> AsyncIterator[Sending]:
    """A sender without access validation."""
    made = Sending(broker, None)
    yield made
    await made.enqueue.close()


@pytest.fixture
async def validating(broker: Broker) -> AsyncIterator[tuple[Sending, Records]]:
    """A sender that asks a database."""
    records = Records()
    made = Sending(broker, records)
    yield made, records
    await made.enqueue.close()


@pytest.fixture
def tenant(broker: Broker, own_process: ValkeyServer) -> Iterator[Tenant]:
    """The tenant, as the test looks at it."""
    with raw_client(own_process.port) as client:
        yield Tenant(broker, client)


async def test_accepted(sending: Sending, tenant: Tenant) -> None:
    """The task is recorded, on its queue and noted; the answer has what the contract says."""
    sent = await sending.send(message="héllo", metadata={"a": 1})
    answer = sent.answer
    await wait_until(lambda: tenant.client.hget(tenant.key(f"task:{answer.task_id}"), "status") == b"queued")
    pushed = json.loads(tenant.client.lrange(QUEUE, 0, -1)[0])

    assert (pushed["task_id"], pushed["message"], pushed["attempt"]) == (answer.task_id, "héllo", 1)
    assert (pushed["created_at"], pushed["callback_queue"]) == (answer.created_at, tenant.queue)
    assert (answer.status, answer.queue, answer.context_id) == ("queued", QUEUE, "agent-123")
    assert sent.headers["Location"] == f"/api/chat/tasks/{answer.task_id}"
    assert sent.headers["RateLimit"].startswith('"session";r=99;t=3600, "tenant";r=5;')
    assert "héllo" not in sending.lines.getvalue()


async def test_replayed(sending: Sending, tenant: Tenant) -> None:
    """A repeated key gives the first answer and pushes nothing; a quoted one is the same key."""
    first = await sending.send("key")
    again = await sending.send('"key"')
    assert again.answer == first.answer
    assert again.headers["Idempotency-Replayed"] == "true"
    assert tenant.client.llen(QUEUE) == 1
    with pytest.raises(Problem) as raised:
        await sending.send("key", message="another")
    assert raised.value.code == "idempotency_conflict"


async def test_limit(sending: Sending) -> None:
    """A refusal by a limit says when to come again, and where the limits stand."""
    for _ in range(6):
        await sending.send()
    problem = await sending.refused()
    assert (problem.code, problem.retry_after) == ("rate_limited", 1.0)
    assert '"tenant";r=0' in problem.headers["RateLimit"]


async def test_server_away(
    sending: Sending, own_process: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis cannot be reached, the message is certainly not accepted, and the answer says so."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.2)
    own_process.kill()
    assert (await sending.refused()).code == "unavailable"
    own_process.start()
    with raw_client(own_process.port) as client:
        assert client.dbsize() == 0


async def test_stalled_server(
    sending: Sending, tenant: Tenant, own_process: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stalls before admission was asked accepts nothing afterwards."""
    await sending.send()
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.3)
    os.kill(own_process.pid, signal.SIGSTOP)
    problem = await sending.refused("key")
    os.kill(own_process.pid, signal.SIGCONT)
    assert problem.code == "unavailable"
    await wait_until(lambda: sending.broker.topology.connected)
    assert tenant.client.zcard(tenant.key("outstanding")) == 1


@pytest.mark.parametrize("second", [ReplyLost("again"), Unavailable("gone")])
async def test_outcome_unknown(
    sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, second: Exception
) -> None:
    """Where the reply of the admission is lost for good, the answer names the task; the same key finds out."""
    admit, failures = Admissions.admit, [ReplyLost("broke"), second]

    async def lost(self: Admissions, *args: Any) -> AdmitReply:
        reply = await admit(self, *args)
        if failures:
            raise failures.pop(0)
        return reply

    monkeypatch.setattr(Admissions, "admit", lost)
    problem = await sending.refused("key")
    assert problem.code == "outcome_unknown"
    again = await sending.send("key")
    assert again.answer.task_id == problem.members["task_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert tenant.client.zcard(tenant.key("outstanding")) == 1


async def test_reply_lost_once(sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lost reply is asked for again, and the task is accepted and pushed once."""
    admit, failures = Admissions.admit, [ReplyLost("broke")]

    async def lost(self: Admissions, *args: Any) -> AdmitReply:
        reply = await admit(self, *args)
        if failures:
            raise failures.pop()
        return reply

    monkeypatch.setattr(Admissions, "admit", lost)
    told: list[str] = []

    def note(name: str, _own: Mapping[str, int]) -> None:
        told.append(name)

    monkeypatch.setattr(sending.sender, "_note_limits", note)
    sent = await sending.send()
    assert tenant.client.zrange(tenant.key("outstanding"), 0, -1) == [sent.answer.task_id.encode()]
    assert tenant.client.llen(QUEUE) == 1
    assert told == [], "the second answer does not say whether the tenant has limits of its own"


@pytest.fixture
def queues_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues lie in slots of their own, as in a Cluster."""
    monkeypatch.setattr(Admissions, "reach_queues", False)


async def test_one_call(sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one server a send is one call of Redis, while the tenant is on the agenda; nothing is left to be done."""
    await sending.send()
    await sending.enqueue.close()
    run, calls = Broker.run, list[str]()

    def counted(self: Broker, script: str, *args: Any) -> Any:
        calls.append(script)
        return run(self, script, *args)

    monkeypatch.setattr(Broker, "run", counted)
    sent = await sending.send()
    await sending.enqueue.close()
    assert calls == ["admit"]
    assert await tenant.status(sent.answer.task_id) == "queued"
    assert tenant.client.llen(QUEUE) == 2


@pytest.mark.usefixtures("queues_afar")
async def test_queue_out_of_reach(sending: Sending, tenant: Tenant) -> None:
    """In a Cluster the task is pushed by a call of its own before the answer, and that is noted behind it."""
    sent = await sending.send()
    assert tenant.client.llen(QUEUE) == 1
    await sending.enqueue.close()
    assert await tenant.status(sent.answer.task_id) == "queued"
    assert not tenant.client.exists(tenant.key("unpushed"))


async def test_cap_that_is_not_known_yet(
    sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the dispatch knows the tenant's cap the push is left to whoever tells it; then admissions do it."""
    keys, runs = tenant.broker.keys, list[str]()
    shares = TenantShares(DEFAULT_LIMITS.__getitem__, own_limits=False)
    shares.note("acme", {"max_running": 2})
    dispatcher = Dispatcher(Dispatch(tenant.broker.run), keys, shares, 15)
    errands = ErrandRunner(sending.admissions, configure_logging("ERROR", "json"), dispatcher)
    monkeypatch.setattr(sending.enqueue, "_errands", errands)
    run = Broker.run

    def counted(self: Broker, script: str, *args: Any) -> Any:
        runs.append(script)
        return run(self, script, *args)

    monkeypatch.setattr(Broker, "run", counted)
    for told in (True, False):
        runs.clear()
        await sending.send()
        await sending.enqueue.close()
        assert ("push" in runs) == told
        assert tenant.client.hget(f"{{dispatch}}:n:{tenant.queue}", "cap") == b"2"
    assert tenant.client.llen(QUEUE) == 2


async def test_queue_of_another_type(sending: Sending, tenant: Tenant) -> None:
    """A task that cannot be pushed is accepted, said in the log, and left to the agenda."""
    tenant.client.set(QUEUE, "foreign", ex=60)
    sent = await sending.send()
    await sending.enqueue.close()
    assert "push_failed" in sending.lines.getvalue()
    assert tenant.client.zrange(tenant.key("unpushed"), 0, -1) == [sent.answer.task_id.encode()]


@pytest.mark.usefixtures("queues_afar")
async def test_push_that_fails(sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accepted task whose push fails is accepted all the same, and left to the agenda."""

    def failing(*_: Any, **_members: Any) -> asyncio.Future[bool]:
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(Unavailable("the queue's node is away"))
        return failed

    monkeypatch.setattr(Admissions, "push", failing)
    sent = await sending.send()
    await sending.enqueue.close()
    assert tenant.client.zrange(tenant.key("unpushed"), 0, -1) == [sent.answer.task_id.encode()]
    look = tenant.client.zscore(tenant.broker.keys.agenda("acme"), "acme")
    assert look - tenant.broker.clock.now() < 12_000_000


async def test_agenda_is_noted_once(sending: Sending, tenant: Tenant) -> None:
    """While nobody has looked at the tenant, the next send relies on the look that is planned."""
    agenda = tenant.broker.keys.agenda("acme")
    await sending.send()
    await sending.enqueue.close()
    planned = tenant.client.zscore(agenda, "acme")
    await sending.send()
    await sending.enqueue.close()
    assert tenant.client.zscore(agenda, "acme") == planned


async def test_agenda_is_noted_again_after_a_look(sending: Sending, tenant: Tenant) -> None:
    """Whoever has looked may have planned the next look for later: the next send has it sooner again."""
    agenda, hour = tenant.broker.keys.agenda("acme"), 3_600_000_000
    await sending.send()
    await sending.enqueue.close()
    await tenant.tasks.tend("acme")
    tenant.client.zadd(agenda, {"acme": tenant.broker.clock.now() + hour})
    sent = await sending.send()
    await sending.enqueue.close()

    assert sent.answer.status == "queued"
    assert tenant.client.zcard(tenant.key("outstanding")) == 2
    assert tenant.client.zscore(agenda, "acme") - tenant.broker.clock.now() < 14_000_000


@pytest.mark.usefixtures("queues_afar")
async def test_push_that_hangs(sending: Sending, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer does not wait for a push that takes its time; the push goes on behind it."""
    push, gate = Admissions.push, asyncio.Event()

    async def late(self: Admissions, *args: Any, **members: Any) -> bool:
        await gate.wait()
        return await push(self, *args, **members)

    def slow(self: Admissions, *args: Any, **members: Any) -> asyncio.Future[bool]:
        return asyncio.ensure_future(late(self, *args, **members))

    monkeypatch.setattr(Admissions, "push", slow)
    sent = await asyncio.wait_for(sending.send(), 4)
    assert tenant.client.llen(QUEUE) == 0
    gate.set()
    await wait_until(
        lambda: tenant.client.hget(tenant.key(f"task:{sent.answer.task_id}"), "status") == b"queued"
    )


@pytest.mark.usefixtures("queues_afar")
async def test_answer_before_the_note(sending: Sending, tenant: Tenant) -> None:
    """An agent that is quicker than our own note is not taken back by it."""
    sent = await sending.send()
    await tenant.deliver(callback(sent.answer.task_id, "completed", {"response": "ok"}))
    await sending.enqueue.close()
    assert await tenant.status(sent.answer.task_id) == "completed"


async def test_asked_once(validating: tuple[Sending, Records], tenant: Tenant) -> None:
    """The database is asked once; what it said holds for the next send, and also when it is away."""
    sending, records = validating
    await sending.send()
    records.away = True
    await sending.send()
    assert records.asked == 1
    assert tenant.client.zcard(tenant.key("outstanding")) == 2


async def test_database_away(validating: tuple[Sending, Records], tenant: Tenant) -> None:
    """If the database cannot be asked, nobody new gets in."""
    sending, records = validating
    records.away = True
    assert (await sending.refused()).code == "unavailable"
    assert not tenant.client.exists(tenant.key("outstanding"))


async def test_record_that_changes_meanwhile(validating: tuple[Sending, Records]) -> None:
    """An answer read before a change is not believed: the database is asked again."""
    sending, records = validating
    records.meanwhile = ["acme"]
    await sending.send()
    assert records.asked == 2


async def test_record_that_never_rests(validating: tuple[Sending, Records]) -> None:
    """A tenant that changes all the time is refused rather than let in by luck, and the loop ends."""
    sending, records = validating
    records.meanwhile = ["acme"] * 10
    assert (await sending.refused()).code == "unavailable"


@pytest.mark.parametrize(
    ("changes", "code", "members"),
    [
        ({"tier": None}, "access_denied", {}),
        ({"granted": dict[str, ContextRules]()}, "access_denied", {"context_id": "agent-123"}),
        ({"tier": "enterprise"}, "tier_mismatch", {}),
    ],
)
async def test_denied(
    validating: tuple[Sending, Records], changes: dict[str, Any], code: str, members: dict[str, str]
) -> None:
    """A bad answer is kept as well: it is told at once the second time."""
    sending, records = validating
    records.record = msgspec.structs.replace(records.record, **changes)
    for _ in range(2):
        problem = await sending.refused()
        assert (problem.code, problem.members) == (code, members)
    assert records.asked == 1
