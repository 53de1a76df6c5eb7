"""cancel.lua: a stop that is true at once (contract §3)."""

from tests.broker.tenant import QUEUE, Tenant, callback, chunk, counted


async def test_cancelled(tenant: Tenant) -> None:
    """The task ends for every viewer, it is to be withdrawn, and its key tells the agent."""
    reply = await tenant.admit(b"payload", timeout=300)
    cancelled, errands = await tenant.tasks.cancel(tenant.name, reply.task, "")

    assert cancelled.outcome == "cancelled"
    assert [(e.task, e.attempt, e.queue, e.withdraw) for e, _ in errands] == [(reply.task, 1, QUEUE, True)]
    assert 355_000 < errands[0][0].marker_ms < 361_000
    assert (await tenant.frames())[-1]["data"] == {
        "status": "cancelled", "code": "cancelled", "message": "The task was cancelled.",
    }  # fmt: skip
    assert tenant.client.lrange(tenant.broker.keys.cancel(tenant.name, reply.task), 0, -1) == [b"1"]
    assert 355 < tenant.client.ttl(tenant.broker.keys.cancel(tenant.name, reply.task)) <= 361
    assert not tenant.client.exists(tenant.key("outstanding"))


async def test_running_one(tenant: Tenant) -> None:
    """What a running agent still sends is late."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "a"))
    await tenant.tasks.cancel(tenant.name, task, "")
    assert counted(await tenant.deliver(chunk(task, "b"), callback(task, "completed"))) == {"dropped|late": 2}
    assert tenant.client.hget(tenant.key("tenant"), "running") == b"0"


async def test_suspended(tenant: Tenant) -> None:
    """The code says why it was cancelled, in the event and in the record."""
    task = await tenant.task()
    await tenant.tasks.cancel(tenant.name, task, "", "suspended")

    assert (await tenant.frames())[-1]["data"] == {
        "status": "cancelled", "code": "suspended", "message": "The tenant was suspended.",
    }  # fmt: skip
    assert ((await tenant.record(task))["status"], (await tenant.record(task))["code"]) == (
        b"cancelled",
        b"suspended",
    )


async def test_outstanding(tenant: Tenant) -> None:
    """The open tasks come in pages, the next deadline first; one that ended is not among them."""
    late, soon, ended = [await tenant.task(timeout=seconds) for seconds in (300, 100, 200)]
    await tenant.tasks.cancel(tenant.name, ended, "")

    assert await tenant.tasks.outstanding(tenant.name, 0, 1) == [soon]
    assert await tenant.tasks.outstanding(tenant.name, 1, 9) == [late]
    assert await tenant.tasks.outstanding(tenant.name, 2, 9) == []


async def test_ended(tenant: Tenant) -> None:
    """An ended task stays as it ended, and nothing is told to its agent."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "completed"))
    kept = tenant.dump()
    cancelled, errands = await tenant.tasks.cancel(tenant.name, task, "")
    assert (cancelled.outcome, errands) == ("ended", [])
    assert tenant.dump() == kept


async def test_twice(tenant: Tenant) -> None:
    """A repeated cancellation finds the task ended."""
    task = await tenant.task()
    outcomes = [(await tenant.tasks.cancel(tenant.name, task, ""))[0].outcome for _ in range(2)]
    assert outcomes == ["cancelled", "ended"]


async def test_not_found(tenant: Tenant) -> None:
    """An unknown task, another tenant's, and one in another user's session are all the same."""
    task = await tenant.task(user="ana")
    other = tenant.another("globex")
    assert (await other.tasks.cancel(other.name, task, ""))[0].outcome == "not_found"
    assert (await tenant.tasks.cancel(tenant.name, "task-unknown", ""))[0].outcome == "not_found"
    assert (await tenant.tasks.cancel(tenant.name, task, "bob"))[0].outcome == "not_found"
    assert (await tenant.tasks.cancel(tenant.name, task, "ana"))[0].outcome == "cancelled"


async def test_session_that_was_lost(tenant: Tenant) -> None:
    """A session begun anew by a cancellation still belongs to its task's user, who alone may cancel."""
    task, still_open = await tenant.task(user="ana"), await tenant.task(user="ana")
    tenant.client.delete(tenant.key("session:sess-1"))
    assert (await tenant.tasks.cancel(tenant.name, task, "bob"))[0].outcome == "not_found"
    assert (await tenant.tasks.cancel(tenant.name, task, "ana"))[0].outcome == "cancelled"
    assert (await tenant.open(user="bob"))[0].outcome == "session_denied"
    assert await tenant.status(still_open) == "accepted"


async def test_for_one_session(tenant: Tenant) -> None:
    """Who may reach one session only has no task of another one."""
    task = await tenant.task()
    foreign, _ = await tenant.tasks.cancel(tenant.name, task, "", session="sess-2")
    assert foreign.outcome == "not_found"
    assert await tenant.status(task) == "accepted"
    own, _ = await tenant.tasks.cancel(tenant.name, task, "", session="sess-1")
    assert own.outcome == "cancelled"
