"""What is due is done, once, also when nobody was there when it was due (DESIGN §3.6)."""

from collections.abc import AsyncIterator

import pytest
from tests.broker.tenant import QUEUE, SECOND, Tenant, callback
from tests.broker.test_attempts import PAYLOAD
from tests.delivery.parts import Parts

from orchestrator.broker.connection import Unavailable
from orchestrator.broker.tasks import Tasks
from orchestrator.metrics import Counter
from orchestrator.protocol.shares import Shares

ALONE = Shares("r1", ["r1"], 16)


@pytest.fixture
async def swept(parts: Parts) -> AsyncIterator[Parts]:
    """The parts, with the callback worker running."""
    async with parts.pumping():
        yield parts


async def due(parts: Parts, tenant: Tenant) -> None:
    """Have the tenant's look be due now, and do it."""
    await parts.agenda.note(tenant.name, tenant.broker.clock.now() - SECOND)
    await parts.sweeper.sweep(ALONE)


async def test_timeout(swept: Parts, tenant: Tenant) -> None:
    """An overdue task ends as timeout and leaves its queue; a later push of it is void."""
    task = await tenant.task(timeout=-1)
    await tenant.admissions.push(QUEUE, task, 1, b"{}", 60_000)
    await due(swept, tenant)

    assert await tenant.status(task) == "timeout"
    assert swept.counted(Counter.TASKS_ENDED) == {"timeout": 1}
    assert not tenant.client.exists(QUEUE)
    assert not await tenant.admissions.push(QUEUE, task, 1, b"{}", 60_000)


async def test_answer_in_time_counts(swept: Parts, tenant: Tenant) -> None:
    """An answer that waits in the queue goes before the deadline that passed meanwhile."""
    task = await tenant.task(timeout=-1)
    tenant.report(callback(task, "completed", {"response": "ok"}))
    await due(swept, tenant)
    assert await tenant.status(task) == "completed"


async def test_pushed_once(swept: Parts, tenant: Tenant) -> None:
    """What was recorded and never pushed is pushed, and however often it is looked at, once."""
    task = (await tenant.admit(b"payload")).task
    for _ in range(3):
        tenant.client.zadd(tenant.key("unpushed"), {task: 1})
        await due(swept, tenant)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"payload"]
    assert await tenant.status(task) == "queued"
    assert swept.events.count("task_queued") == 1


async def test_pushed_but_not_noted(swept: Parts, tenant: Tenant) -> None:
    """Where only the note of a push was lost, the note is made and nothing is pushed."""
    task = (await tenant.admit(b"payload")).task
    await tenant.admissions.push(QUEUE, task, 1, b"payload", 60_000)
    tenant.client.rpop(QUEUE)
    tenant.client.zadd(tenant.key("unpushed"), {task: 1})
    await due(swept, tenant)
    assert not tenant.client.exists(QUEUE)
    assert await tenant.status(task) == "queued"


async def test_forgotten_callbacks(swept: Parts, tenant: Tenant) -> None:
    """A push that rang nobody is found by the look."""
    task = await tenant.task()
    tenant.report(callback(task, "running"))
    await due(swept, tenant)
    assert await tenant.status(task) == "running"


async def test_next_look(swept: Parts, tenant: Tenant) -> None:
    """After its look a tenant is planned anew; one that has nothing leaves the agenda."""
    agenda = tenant.broker.keys.agenda(tenant.name)
    await tenant.task()
    await due(swept, tenant)
    assert 0 < tenant.client.zscore(agenda, tenant.name) - tenant.broker.clock.now() <= 60 * SECOND
    idle = tenant.another("globex")
    await due(swept, idle)
    assert idle.client.zscore(tenant.broker.keys.agenda(idle.name), idle.name) is None


async def test_parts_of_others(swept: Parts, tenant: Tenant) -> None:
    """A replica looks after its own parts of the agenda alone."""
    await tenant.task(timeout=-1)
    await swept.agenda.note(tenant.name, 1)
    shares = [Shares(name, ["r1", "r2"], 16) for name in ("r1", "r2")]
    part = int(tenant.broker.keys.agenda(tenant.name).rstrip("}").rsplit(":", 1)[1])
    theirs, mine = sorted(shares, key=lambda share: part in share.parts)
    await swept.sweeper.sweep(theirs)
    assert swept.counted(Counter.TASKS_ENDED) == {}
    await swept.sweeper.sweep(mine)
    assert swept.counted(Counter.TASKS_ENDED) == {"timeout": 1}


async def test_look_that_fails(swept: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant whose look fails stays due, and the others are looked at."""
    tend = Tasks.tend

    async def failing(self: Tasks, name: str, heard: float) -> object:
        if name == tenant.name:
            raise Unavailable("away")
        return await tend(self, name, heard)

    other = tenant.another("globex")
    await tenant.task(timeout=-1)
    task = await other.task(timeout=-1)
    monkeypatch.setattr(Tasks, "tend", failing)
    await swept.agenda.note(other.name, 1)
    await due(swept, tenant)
    assert await other.status(task) == "timeout"
    assert swept.events.count("agenda_failed") == 1
    assert [name for name, _ in await swept.agenda.due(ALONE.parts)] == [tenant.name]


async def test_leases_that_ended_while_their_node_was_away(
    swept: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the tenant's server alone did not answer its agents could not be heard either."""
    task = (await tenant.admit(PAYLOAD)).task
    await tenant.deliver(callback(task, "running", lease=30))
    for _ in range(20):
        await swept.sweeper.sweep(ALONE)
        swept.later += 2.5

    async def away(*_: object) -> object:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Tasks, "tend", away)
        await due(swept, tenant)
    tenant.client.zadd(tenant.key("leases"), {task: 1})
    await due(swept, tenant)
    assert await tenant.status(task) == "running"


async def test_leases_that_ended_while_redis_was_away(swept: Parts, tenant: Tenant) -> None:
    """After a gap an agent has its whole lease to be heard again; who is silent then has lost the task."""
    task = (await tenant.admit(PAYLOAD)).task
    await tenant.deliver(callback(task, "running", lease=30))

    async def over(seconds: float) -> str:
        tenant.client.zadd(tenant.key("leases"), {task: 1})
        swept.later += seconds
        await due(swept, tenant)
        return await tenant.status(task)

    assert await over(0) == "running"  # nobody knows how long this replica was away
    assert await over(2.5) == "running"
    assert 0 < tenant.client.zscore(tenant.key("leases"), task) - tenant.broker.clock.now() < 28 * SECOND
    for _ in range(12):
        await swept.sweeper.sweep(ALONE)
        swept.later += 2.5
    await swept.sweeper.sweep(ALONE)
    assert await over(60) == "running"
    for _ in range(12):
        await swept.sweeper.sweep(ALONE)
        swept.later += 2.5
    assert await over(0) == "retrying"
