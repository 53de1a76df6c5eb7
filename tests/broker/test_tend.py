"""tend.lua: what is due for a tenant (DESIGN §3.6)."""

import pytest
from tests.broker.tenant import QUEUE, SECOND, Tenant, callback, chunk

from orchestrator.broker.tasks import UNPUSHED_PATIENCE_MICROS

MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND


async def test_overdue_tasks_end(tenant: Tenant) -> None:
    """What is past its deadline ends as timeout; what is not stays, and says when to look again."""
    overdue = await tenant.task(timeout=-1)
    due_soon = await tenant.task(timeout=30)
    tended, errands = await tenant.tasks.tend(tenant.name)

    assert [(ended.task, ended.status, ended.session) for ended in tended.ended] == [
        (overdue, "timeout", "sess-1")
    ]
    assert [(e.task, e.attempt, e.queue, e.withdraw) for e in tended.errands] == [(overdue, 1, QUEUE, True)]
    assert [payload for _, payload in errands] == [b""]
    assert (await tenant.frames())[-1]["data"]["code"] == "deadline"
    assert await tenant.status(due_soon) == "accepted"
    assert abs(tended.next - UNPUSHED_PATIENCE_MICROS - tenant.broker.clock.now()) < SECOND


async def test_running_one_is_not_withdrawn(tenant: Tenant) -> None:
    """A task that an agent has is not on its queue any more; its text goes with its end."""
    task = await tenant.task(timeout=-1)
    await tenant.deliver(chunk(task, "a"))
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert ([ended.task for ended in tended.ended], tended.errands) == ([task], [])
    assert not tenant.client.exists(tenant.key(f"text:{task}"))


async def test_a_hundred_at_a_time(tenant: Tenant) -> None:
    """A look ends 100 tasks at most; the next look is due at once."""
    for _ in range(103):
        await tenant.admit(timeout=-1)
    first, _ = await tenant.tasks.tend(tenant.name)
    second, _ = await tenant.tasks.tend(tenant.name)
    assert (len(first.ended), len(second.ended)) == (100, 3)
    assert 0 < first.next < tenant.broker.clock.now()


async def test_unpushed_is_listed(tenant: Tenant) -> None:
    """What was recorded and not pushed for 10 s is listed with all that a push needs, until it is marked."""
    task = (await tenant.admit(b"payload")).task
    assert (await tenant.tasks.tend(tenant.name))[0].errands == []
    tenant.client.zadd(tenant.key("unpushed"), {task: 1})
    tended, errands = await tenant.tasks.tend(tenant.name)

    assert [(e.task, e.attempt, e.queue, e.withdraw) for e in tended.errands] == [(task, 1, QUEUE, False)]
    assert 355_000 < tended.errands[0].marker_ms < 361_000
    assert [payload for _, payload in errands] == [b"payload"]
    await tenant.admissions.mark_queued(tenant.name, (task, 1))
    assert (await tenant.tasks.tend(tenant.name))[0].errands == []


@pytest.mark.parametrize("name", ["outstanding", "unpushed"])
async def test_entry_without_a_task(tenant: Tenant, name: str) -> None:
    """An entry whose record is gone is dropped."""
    tenant.client.zadd(tenant.key(name), {"task-gone": 1})
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert (tended.ended, tended.errands) == ([], [])
    assert not tenant.client.exists(tenant.key(name))


@pytest.mark.parametrize("name", ["session:sess-1", "log:sess-1", "text:TASK", "task:TASK"])
async def test_one_that_cannot_be_read(tenant: Tenant, name: str) -> None:
    """A task whose keys cannot be read ends when they can again; until then it holds up no other."""
    key = tenant.key(name.replace("TASK", "task-acme-1"))
    task, other = await tenant.task(timeout=-1), await tenant.task(timeout=-1, session="sess-2")
    if tenant.client.exists(key):
        tenant.client.rename(key, tenant.key("aside"))
    tenant.client.geoadd(key, (0, 0, "foreign"))
    tenant.client.expire(key, 600)
    tenant.client.zadd(tenant.key("unpushed"), {task: 1, other: 1})
    tended, _ = await tenant.tasks.tend(tenant.name)

    assert [ended.task for ended in tended.ended] == [other]
    pushes = [errand.task for errand in tended.errands if not errand.withdraw]
    assert pushes == ([] if name in {"task:TASK", "text:TASK"} else [task])
    assert tenant.client.zscore(tenant.key("unpushed"), task)
    assert (
        abs(tenant.client.zscore(tenant.key("outstanding"), task) - tenant.broker.clock.now() - MINUTE)
        < SECOND
    )

    tenant.client.delete(key)
    if tenant.client.exists(tenant.key("aside")):
        tenant.client.rename(tenant.key("aside"), key)
    tenant.client.zadd(tenant.key("outstanding"), {task: 1})
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert [ended.task for ended in tended.ended] == [task]


async def test_sums_that_a_lost_record_left(tenant: Tenant) -> None:
    """Where nothing is outstanding, nothing runs and takes room: a lost record does not narrow limits for ever."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"))
    tenant.client.delete(tenant.key(f"task:{task}"))
    tenant.client.zadd(tenant.key("outstanding"), {task: 1})
    await tenant.tasks.tend(tenant.name)
    figures = await tenant.tasks.figures(tenant.name)
    assert (figures.outstanding, figures.running, figures.bytes) == (0, 0, 0)


async def test_next_look(tenant: Tenant) -> None:
    """Soon while a task waits to be pushed, in a minute while anything is open, in an hour after that, then never."""
    assert (await tenant.tasks.tend(tenant.name))[0].next == 0
    task = await tenant.task(timeout=600)
    await tenant.admissions.mark_queued(tenant.name, (task, 1))
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert abs(tended.next - MINUTE - tenant.broker.clock.now()) < SECOND
    await tenant.tasks.cancel(tenant.name, task, "")
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert abs(tended.next - HOUR - tenant.broker.clock.now()) < SECOND
    tenant.client.delete(*tenant.client.scan_iter("*:stats:*"))
    assert (await tenant.tasks.tend(tenant.name))[0].next == 0


async def test_waiting_callbacks_are_told(tenant: Tenant) -> None:
    """A queue that is not empty keeps its tenant on the agenda."""
    tenant.report(b"?", b"?")
    tended, _ = await tenant.tasks.tend(tenant.name)
    assert tended.waiting == 2
    assert tended.next > 0


async def test_owner_of_a_lost_session(tenant: Tenant) -> None:
    """A session begun anew by a timeout still belongs to its task's user."""
    await tenant.task(user="ana", timeout=-1)
    await tenant.task(user="ana")
    tenant.client.delete(tenant.key("session:sess-1"))
    await tenant.tasks.tend(tenant.name)
    assert (await tenant.open(user="bob"))[0].outcome == "session_denied"
