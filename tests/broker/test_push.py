"""push.lua, withdraw.lua and mark_queued.lua: an attempt is on its queue once, or never (DESIGN §2)."""

import asyncio

from tests.broker.tenant import QUEUE, Tenant


async def push(tenant: Tenant, task: str, attempt: int = 1, payload: bytes = b"{}") -> bool:
    """Push an attempt with a marker that lives for a minute."""
    return await tenant.admissions.push(QUEUE, task, attempt, payload, 60_000)


async def withdraw(tenant: Tenant, task: str) -> bool:
    """Take the first attempt off its queue."""
    return await tenant.admissions.withdraw(QUEUE, task, 1, 60_000)


async def test_pushed_once(tenant: Tenant) -> None:
    """A repeated push of the same attempt does nothing, also after an agent took the element."""
    task = await tenant.task()
    assert await push(tenant, task)
    assert not await push(tenant, task)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"{}"]
    tenant.client.rpop(QUEUE)
    assert not await push(tenant, task)
    assert tenant.client.llen(QUEUE) == 0


async def test_next_attempt_is_another(tenant: Tenant) -> None:
    """Each attempt has a marker of its own, with a life of its own."""
    task = await tenant.task()
    assert await push(tenant, task)
    assert await push(tenant, task, attempt=2)
    markers = sorted(tenant.client.scan_iter(f"*:t:{task}:*"))
    assert markers == [f"{{{QUEUE}}}:t:{task}:{attempt}".encode() for attempt in (1, 2)]
    assert all(50_000 < tenant.client.pttl(marker) <= 60_000 for marker in markers)


async def test_first_pushed_is_taken_first(tenant: Tenant) -> None:
    """Agents take from the right: the oldest task comes out first."""
    for number in range(3):
        await push(tenant, f"task-{number}", payload=str(number).encode())
    assert [tenant.client.rpop(QUEUE) for _ in range(3)] == [b"0", b"1", b"2"]


async def test_withdrawn(tenant: Tenant) -> None:
    """What still waits is taken off, and a later push of it is void."""
    task = await tenant.task()
    await push(tenant, "task-other", payload=b"other")
    await push(tenant, task)
    assert await withdraw(tenant, task)
    assert not await push(tenant, task)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"other"]


async def test_withdrawn_too_late(tenant: Tenant) -> None:
    """What an agent has cannot be withdrawn, and says so."""
    task = await tenant.task()
    await push(tenant, task)
    tenant.client.rpop(QUEUE)
    assert not await withdraw(tenant, task)


async def test_withdrawn_before_the_push(tenant: Tenant) -> None:
    """A withdrawal that overtakes the push wins: the task never reaches an agent."""
    task = await tenant.task()
    assert not await withdraw(tenant, task)
    assert not await push(tenant, task)
    assert not tenant.client.exists(QUEUE)


async def test_marked_as_queued(tenant: Tenant) -> None:
    """A noted push leaves the list of the unpushed and has its moment in the timeline."""
    task, second = await tenant.task(), await tenant.task()
    admissions = tenant.admissions
    await asyncio.gather(*(admissions.mark_queued(tenant.name, (name, 1)) for name in (task, second)))
    record = await tenant.record(task)

    assert record["status"] == b"queued"
    assert int(record["queued_at"]) >= int(record["accepted_at"])
    assert not tenant.client.exists(tenant.key("unpushed"))
    await tenant.admissions.mark_queued(tenant.name, (task, 1))
    assert (await tenant.record(task))["queued_at"] == record["queued_at"]


async def test_note_that_comes_after_the_agent(tenant: Tenant) -> None:
    """A note that is slower than the agent does not take a running task back to queued."""
    task = await tenant.task()
    await tenant.deliver(b'{"task_id":"%b","status":"running"}' % task.encode())
    await tenant.admissions.mark_queued(tenant.name, (task, 1))

    assert await tenant.status(task) == "running"
    assert not tenant.client.exists(tenant.key("unpushed"))


async def test_note_of_an_unknown_task(tenant: Tenant) -> None:
    """A record that is gone is not made anew."""
    await tenant.admissions.mark_queued(tenant.name, ("task-gone", 1))
    assert not tenant.dump()
