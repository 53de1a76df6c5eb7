"""A server that refuses: no rights to publish, no memory, another deployment; and how long keys live."""

import fnmatch
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.broker.tenant import KEEPING, QUEUE, Tenant, callback, chunk, counted

from orchestrator.broker.access_cache import AccessCache, ContextAnswer
from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker, UnfitServer
from orchestrator.broker.connection import Refused, Unavailable
from orchestrator.broker.keys import PERMANENT, Keys
from orchestrator.broker.logs import Settled
from orchestrator.broker.roster import Roster
from orchestrator.embedded import ValkeyServer


@pytest.fixture
async def muted(server: ValkeyServer, client: Any) -> AsyncIterator[Tenant]:
    """A tenant whose service may do everything but publish: the default of an ACL user."""
    client.execute_command("ACL", "SETUSER", "muted", "on", ">secret", "~*", "+@all", "resetchannels")
    url = server.url.replace("://", "://muted:secret@")
    async with Broker(url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
        await broker.set_clock()
        yield Tenant(broker, client)
    client.acl_deluser("muted")


async def test_publish_is_denied(muted: Tenant) -> None:
    """The log has the event all the same, nothing is taken twice, and the count tells the operator."""
    task = await muted.task()
    delivered = await muted.deliver(chunk(task, "a", 0), callback(task, "completed"))

    assert (delivered.taken, delivered.left, delivered.stop) == (2, 0, "")
    assert counted(delivered)["publish_failed"] == 1
    assert [frame["type"] for frame in await muted.frames()] == [
        "task_update",
        "task_update",
        "agent_response",
    ]


async def test_endings_without_the_right_to_publish(muted: Tenant) -> None:
    """Cancellations and timeouts are as true."""
    task, overdue = await muted.task(), await muted.task(timeout=-1)
    assert (await muted.tasks.cancel(muted.name, task, ""))[0].outcome == "cancelled"
    assert [ended.task for ended in (await muted.tasks.tend(muted.name))[0].ended] == [overdue]
    assert len(await muted.frames()) == 4


@pytest.fixture
def full(tenant: Tenant) -> Iterator[Tenant]:
    """A tenant whose server has no memory left after some tasks were accepted; `fill` takes it away."""
    yield tenant
    tenant.client.config_set("maxmemory", 0)


async def test_out_of_memory(full: Tenant) -> None:
    """Nothing new is admitted or pushed, and nothing half done; what only finishes work goes on and frees memory."""
    running, waiting, overdue = await full.task(), await full.task(), await full.task(timeout=-1)
    full.report(chunk(running, "a"), callback(running, "completed"))
    opened, _ = await full.open("live")
    request = full.request()
    full.client.config_set("maxmemory", 1)
    kept = full.dump()

    with pytest.raises(Unavailable, match="OOM"):
        await full.admissions.admit(full.name, request, b"{}")
    with pytest.raises(Unavailable, match="OOM"):
        await full.admissions.push(QUEUE, waiting, 1, b"{}", 60_000)
    assert full.dump() == kept
    assert not full.client.exists(QUEUE)

    delivered = (await full.callbacks.deliver([full.name]))[0]
    assert (delivered.taken, delivered.left, delivered.ended[0].task) == (2, 0, running)
    assert (await full.tasks.cancel(full.name, waiting, ""))[0].outcome == "cancelled"
    assert [ended.task for ended in (await full.tasks.tend(full.name))[0].ended] == [overdue]
    await full.touch("sess-1")
    await full.logs.settle(full.name, [Settled("sess-1", opened.epoch, 9, 9)])
    await full.admissions.mark_queued(full.name, (waiting, 1))
    await full.admissions.withdraw(QUEUE, waiting, 1, 60_000)
    await AccessCache(full.broker, 300).forget([full.name])
    await Agenda(full.broker).reschedule(full.name, b"0", 0)
    big = callback(running, "completed", {"response": "x" * 70_000})
    full.client.config_set("maxmemory", 0)
    full.report(big, b"bad")
    full.client.config_set("maxmemory", 1)
    envelope = {"task_id": running, "status": "completed"}
    assert (await full.callbacks.deliver_big(full.name, big, envelope, "")).taken == 1
    assert (await full.callbacks.bury(full.name, b"bad", "undeliverable")).taken == 1


async def test_every_key_has_an_end(tenant: Tenant) -> None:
    """After everything that a tenant can do, only queues, the agenda and the sums are without an expiry."""
    cache, agenda = AccessCache(tenant.broker, 300), Agenda(tenant.broker)
    await cache.forget([tenant.name])
    generation = tenant.client.get(tenant.key("generation")).decode()
    await cache.remember(tenant.name, generation, "free", {}, {"agent-123": ContextAnswer(True)})
    await agenda.note(tenant.name, tenant.broker.clock.now())
    limits: dict[str, Any] = {"session_limit": 9, "idempotency": "k", "fingerprint": "f", "user": "ana"}
    first, second, third = [await tenant.task(**limits | {"idempotency": f"k{n}"}) for n in range(3)]
    await tenant.admissions.push(QUEUE, first, 1, b"{}", 60_000)
    await tenant.deliver(chunk(first, "a"), b"?", callback(second, "completed"), chunk(third, "b"))
    await tenant.tasks.cancel(tenant.name, third, "")
    await tenant.open(user="ana")
    await tenant.touch("sess-1")
    await tenant.tasks.tend(tenant.name)
    endless = [key for key in tenant.client.scan_iter(count=1000) if tenant.client.ttl(key) == -1]

    assert len(tenant.dump()) >= 18
    assert all(any(fnmatch.fnmatchcase(key.decode(), name) for name in PERMANENT) for key in endless), endless


async def test_server_that_would_evict(broker: Broker, client: Any) -> None:
    """With `maxmemory` set, a policy that drops keys is refused by name; without, it does not matter."""
    try:
        client.config_set("maxmemory-policy", "allkeys-lru")
        await broker.check_server()
        client.config_set("maxmemory", "512mb")
        with pytest.raises(UnfitServer, match="allkeys-lru"):
            await broker.check_server()
        client.config_set("maxmemory-policy", "noeviction")
        await broker.check_server()
    finally:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")


async def test_another_deployment_with_the_same_prefix(broker: Broker) -> None:
    """Two deployments with one callback prefix would take each other's callbacks: the second is refused."""
    await Roster(broker, "orchestrator").claim_prefix()
    await Roster(broker, "orchestrator").claim_prefix()
    with pytest.raises(UnfitServer, match="ORCHESTRATOR_CALLBACK_QUEUE_PREFIX"):
        await Roster(broker, "another").claim_prefix()


async def test_key_of_another_slot(tenant: Tenant) -> None:
    """In a Cluster a script may not leave its tenant's slot."""
    if not tenant.broker.topology.is_cluster:
        return
    with pytest.raises(Refused):
        await tenant.broker.run(
            "deliver", [tenant.queue, "orchestrator:globex:callbacks"], tenant.broker.arguments()
        )


async def test_undeclared_key_of_another_slot(tenant: Tenant) -> None:
    """Nor may it where nobody has told Redis of the key: it is refused where the function comes to it."""
    if not tenant.broker.topology.is_cluster:
        return
    with pytest.raises(Refused, match="do not hash to the same slot"):
        await tenant.broker.run("retune", tenant.queue, "home", 1, 0)
    assert tenant.client.keys("*") == []
