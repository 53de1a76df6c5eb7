"""How an accepted task comes to its queue: with the admission, or by a call of its own (contract §3)."""

import asyncio
from typing import Any

import pytest
from tests.admission.sending import Sending
from tests.broker.tenant import QUEUE, Tenant, callback
from tests.servers import wait_until

from orchestrator.broker.admissions import Admissions
from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import Unavailable
from orchestrator.broker.dispatch import Dispatch
from orchestrator.dispatch.dispatcher import Dispatcher
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.dispatch.tenant_shares import TenantShares
from orchestrator.protocol.tiers import DEFAULT_LIMITS
from orchestrator.telemetry import configure_logging


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
