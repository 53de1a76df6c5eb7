"""A suspended tenant's open tasks end, whatever they are doing (contract §4)."""

import pytest
from tests.broker.tenant import QUEUE, Tenant, callback, chunk
from tests.delivery.parts import Parts

from orchestrator.delivery import cancellation
from orchestrator.delivery.cancellation import AT_ONCE, Cancellation
from orchestrator.delivery.endings import Endings
from orchestrator.dispatch.errands import ErrandRunner
from orchestrator.metrics import Counter
from orchestrator.telemetry import configure_logging


@pytest.fixture
def stopping(parts: Parts) -> Cancellation:
    """What ends tasks."""
    log = configure_logging("ERROR", "text")
    endings = Endings(parts.metrics, log, parts.turns)
    return Cancellation(parts.tenant.tasks, ErrandRunner(parts.tenant.admissions, log), endings)


async def pushed(tenant: Tenant, payload: bytes) -> str:
    """A task that waits on its queue."""
    task = (await tenant.admit(payload)).task
    await tenant.admissions.push(QUEUE, task, 1, payload, 60_000)
    return task


async def test_every_open_task_ends(stopping: Cancellation, parts: Parts) -> None:
    """One that waits leaves its queue, a running one's agent is told, and each viewer sees why."""
    tenant = parts.tenant
    waiting, running = await pushed(tenant, b"one"), await tenant.task()
    await tenant.deliver(chunk(running, "a"))

    assert await stopping.suspend(tenant.name) == (2, 0)
    ended = {frame["task_id"]: frame["data"] for frame in await tenant.frames() if frame["type"] == "error"}
    told = {"status": "cancelled", "code": "suspended", "message": "The tenant was suspended."}
    assert ended == {waiting: told, running: told}
    assert tenant.client.llen(QUEUE) == 0
    for task in (waiting, running):
        assert tenant.client.exists(tenant.broker.keys.cancel(tenant.name, task))
    assert parts.counted(Counter.TASKS_ENDED) == {"cancelled": 2}


async def test_it_goes_on_until_none_is_open(stopping: Cancellation, parts: Parts) -> None:
    """More tasks than are ended at a time all end; doing it again finds nothing to do."""
    tenant = parts.tenant
    tasks = [await tenant.task(timeout=100 + n) for n in range(AT_ONCE * 2 + 3)]

    assert await stopping.suspend(tenant.name) == (len(tasks), 0)
    assert await tenant.tasks.outstanding(tenant.name, 0, 9) == []
    assert await stopping.suspend(tenant.name) == (0, 0)


async def test_what_ended_otherwise_stays_so(stopping: Cancellation, parts: Parts) -> None:
    """An answered task keeps its answer, and another tenant's tasks go on."""
    tenant, other = parts.tenant, parts.tenant.another("globex")
    answered, others = await tenant.task(), await other.task()
    await tenant.deliver(callback(answered, "completed"))

    assert await stopping.suspend(tenant.name) == (0, 0)
    assert await tenant.status(answered) == "completed"
    assert await other.status(others) == "accepted"


async def test_one_that_cannot_end_stops_no_other(stopping: Cancellation, parts: Parts) -> None:
    """A record that cannot be read is counted as left; one that is gone is nobody's task any more."""
    tenant = parts.tenant
    broken, gone = await tenant.task(timeout=50), await tenant.task(timeout=60)
    tasks = [await tenant.task(timeout=100 + n) for n in range(AT_ONCE * 2)]
    tenant.client.delete(tenant.broker.keys.task(tenant.name, gone))
    tenant.client.set(tenant.broker.keys.task(tenant.name, broken), "no hash", ex=60)

    assert await stopping.suspend(tenant.name) == (len(tasks), 1)
    assert sorted(await tenant.tasks.outstanding(tenant.name, 0, 9)) == sorted([broken, gone])


async def test_it_comes_to_an_end(
    stopping: Cancellation, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tasks come without end it stops at a bound, and says that some are left."""
    monkeypatch.setattr(cancellation, "SUSPENDED_MAX", AT_ONCE)
    for _ in range(AT_ONCE + 3):
        await parts.tenant.task()

    assert await stopping.suspend(parts.tenant.name) == (AT_ONCE, 3)
