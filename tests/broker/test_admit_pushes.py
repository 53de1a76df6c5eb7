"""admit.lua pushes what it accepts where the queue is within reach: on one server, which a Cluster is not."""

import asyncio
from typing import Any

import pytest
from tests.broker.tenant import KEEPING, QUEUE, Tenant, callback

from orchestrator.broker.admissions import AdmitReply
from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import execution_queue
from orchestrator.embedded import ValkeyServer

OTHER = execution_queue("agent-7", "free")
on_one_server = pytest.mark.parametrize("each_valkey", ["valkey"], indirect=True)
in_a_cluster = pytest.mark.parametrize("each_valkey", ["valkey_cluster"], indirect=True)


async def admit(tenant: Tenant, payload: bytes = b"{}", **changes: Any) -> AdmitReply:
    """Ask for a task that is to be pushed."""
    return await tenant.admit(payload, within_reach=True, **changes)


def marker(task: str, queue: str = QUEUE) -> str:
    """What push.lua would set beside the queue."""
    return f"{{{queue}}}:t:{task}:1"


def unpushed(tenant: Tenant) -> list[bytes]:
    """The tasks that the agenda would have pushed."""
    listed: list[bytes] = tenant.client.zrange(tenant.key("unpushed"), 0, -1)
    return listed


@on_one_server
async def test_recorded_and_pushed(tenant: Tenant) -> None:
    """The task is queued from the start: on its queue, with its marker, and not among the unpushed."""
    reply = await admit(tenant, b"payload", timeout=30)
    record, client = await tenant.record(reply.task), tenant.client

    assert (reply.outcome, reply.pushed, record["status"]) == ("accepted", True, b"queued")
    assert record["queued_at"] == record["accepted_at"]
    assert client.lrange(QUEUE, 0, -1) == [client.get(marker(reply.task))] == [b"payload"]
    assert 80_000 < client.pttl(marker(reply.task)) <= 90_000
    assert not unpushed(tenant)
    assert [frame["data"]["status"] for frame in await tenant.frames()] == ["queued"]


@on_one_server
async def test_asked_again(tenant: Tenant) -> None:
    """A resend finds that the task was pushed, also after an agent took it, and push.lua knows it too."""
    request = tenant.request(within_reach=True)
    for taken in (False, True):
        replies = [await tenant.admissions.admit(tenant.name, request, b"{}") for _ in range(2)]
        assert [(reply.outcome, reply.pushed, reply.held) for reply in replies] == [
            ("accepted", True, False)
        ] * 2
        assert not await tenant.admissions.push(QUEUE, request.task, 1, b"{}", 60_000)
        assert tenant.client.llen(QUEUE) == (0 if taken else 1)
        tenant.client.rpop(QUEUE)


@on_one_server
async def test_asked_again_after_the_ending(tenant: Tenant) -> None:
    """A resend that comes behind the ending is told that nothing is to be pushed."""
    request = tenant.request(within_reach=True)
    await tenant.admissions.admit(tenant.name, request, b"{}")
    await tenant.deliver(callback(request.task, "completed", {"response": "ok"}))
    assert (await tenant.admissions.admit(tenant.name, request, b"{}")).held


@on_one_server
async def test_withdrawn(tenant: Tenant) -> None:
    """What was pushed so is found by a withdrawal, and a later push of it is void."""
    task = (await admit(tenant, b"payload")).task
    await admit(tenant, b"other")
    assert await tenant.admissions.withdraw(QUEUE, task, 1, 60_000)
    assert not await tenant.admissions.push(QUEUE, task, 1, b"payload", 60_000)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"other"]


@on_one_server
async def test_taken_by_a_worker(tenant: Tenant) -> None:
    """A worker of the SDK takes it by its marker, once."""
    task = (await admit(tenant, b"payload")).task
    run = tenant.broker.run
    assert await run("take", QUEUE, task, 1) == b"payload"
    assert await run("take", QUEUE, task, 1) is None


@on_one_server
async def test_next_attempt(tenant: Tenant) -> None:
    """What is on the queue of an attempt that is over leaves it, as the next one comes."""
    task = (await admit(tenant, b"first")).task
    assert await tenant.admissions.push(QUEUE, task, 2, b"second", 60_000, side="right", old_attempt=1)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"second"]
    assert tenant.client.get(marker(task)) == b"void"


@on_one_server
async def test_several_in_one_call(tenant: Tenant) -> None:
    """Each goes to its own queue, in the order in which they came; what was not accepted goes to none."""
    places: list[dict[str, Any]] = [
        {},
        {"queue": OTHER},
        {"not_after": 1},
        {"session": "sess-2"},
        {"queue": OTHER},
    ]
    sends = [admit(tenant, str(number).encode(), **place) for number, place in enumerate(places)]
    replies = await asyncio.gather(*sends)

    assert [reply.pushed for reply in replies] == [True, True, False, True, True]
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"3", b"0"]
    assert tenant.client.lrange(OTHER, 0, -1) == [b"4", b"1"]
    assert not unpushed(tenant)


@on_one_server
async def test_held(tenant: Tenant) -> None:
    """A message that waits its turn is on no queue."""
    first = await admit(tenant, b"first")
    held = await admit(tenant, b"held", turn_policy="queue")
    assert (first.pushed, held.held, held.pushed) == (True, True, False)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"first"]
    assert not tenant.client.exists(marker(held.task))


@on_one_server
async def test_queue_of_another_type(tenant: Tenant) -> None:
    """A task whose queue is no list is accepted and not pushed; those beside it are."""
    tenant.client.set(QUEUE, "foreign", ex=60)
    afar, near = await asyncio.gather(admit(tenant), admit(tenant, b"near", queue=OTHER))

    assert ((afar.outcome, afar.pushed), (near.outcome, near.pushed)) == (
        ("accepted", False),
        ("accepted", True),
    )
    assert await tenant.status(afar.task) == "accepted"
    assert unpushed(tenant) == [afar.task.encode()]
    assert not tenant.client.exists(marker(afar.task))
    assert tenant.client.get(QUEUE) == b"foreign"
    assert tenant.client.lrange(OTHER, 0, -1) == [b"near"]


@on_one_server
@pytest.mark.parametrize("command", ["set", "lpush"])
async def test_a_right_is_missing(tenant: Tenant, valkey: ValkeyServer, command: str) -> None:
    """A queue that may not be written to leaves nothing half done: the task is accepted, and not pushed."""
    tenant.client.acl_setuser(
        "weak", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", f"-{command}"]
    )
    url = valkey.url.replace("://", "://weak:any@")
    try:
        async with Broker(url, tenant.broker.keys, KEEPING) as weak:
            await weak.set_clock()
            reply = await admit(Tenant(weak, tenant.client))
    finally:
        tenant.client.acl_deluser("weak")
    assert (reply.outcome, reply.pushed) == ("accepted", False)
    assert unpushed(tenant) == [reply.task.encode()]
    assert not tenant.client.exists(QUEUE, marker(reply.task))


@on_one_server
async def test_out_of_reach(tenant: Tenant) -> None:
    """Whoever has something to do before the task may be on its queue pushes it himself; a resend says so too."""
    request = tenant.request()
    for _ in range(2):
        reply = await tenant.admissions.admit(tenant.name, request, b"{}")
        assert (reply.outcome, reply.pushed) == ("accepted", False)
    assert unpushed(tenant) == [request.task.encode()]
    assert not tenant.client.exists(QUEUE, marker(request.task))


@in_a_cluster
async def test_another_slot(tenant: Tenant) -> None:
    """In a Cluster nothing is within reach; a server of one that is taken for a single one refuses, and no more."""
    assert not tenant.admissions.reach_queues
    reply = await admit(tenant)
    assert (reply.outcome, reply.pushed) == ("accepted", False)
    assert await tenant.status(reply.task) == "accepted"
    assert unpushed(tenant) == [reply.task.encode()]
    assert not tenant.client.exists(marker(reply.task))
