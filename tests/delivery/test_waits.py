"""Viewers of a task that waits are told why: when that changes, not too often, and only while somebody looks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.broker.tenant import QUEUE, SECOND, Tenant, callback
from tests.delivery.parts import Parts

from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.protocol.shares import Shares

ALONE = Shares("r1", ["r1"], 16)
NO_WORKER = "no worker for agent-123"


@pytest.fixture
async def swept(parts: Parts) -> AsyncIterator[Parts]:
    """The parts, with the callback worker running."""
    async with parts.pumping():
        yield parts


class Watched:
    """A tenant whose sockets are open, and whose clock the test moves by moving what was noted back."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.tenant = parts.tenant
        self.tenant.client.hset(self.tenant.key("sockets"), "r1", "1:99999999999999999")
        self.tenant.client.expire(self.tenant.key("sockets"), 90)

    async def task(self, seconds_ago: float = 10, **changes: Any) -> str:
        """A task that has been on its queue for a while."""
        task = await self.tenant.task(**changes)
        await self.tenant.admissions.push(QUEUE, task, 1, task.encode(), 60_000)
        await self.tenant.admissions.mark_queued(self.tenant.name, (task, 1))
        self.age(task, seconds_ago, "accepted_at")
        return task

    def age(self, task: str, seconds: float, *names: str) -> None:
        """So much time passes for the task."""
        for name in names or ("accepted_at", "told_at"):
            self.tenant.client.hincrby(self.tenant.key(f"task:{task}"), name, -int(seconds * SECOND))

    async def look(self) -> int:
        """The agenda says that the tenant is due; the next look, in seconds from now."""
        await self.parts.agenda.note(self.tenant.name, self.tenant.broker.clock.now() - SECOND)
        await self.parts.sweeper.sweep(ALONE)
        agenda = self.tenant.broker.keys.agenda(self.tenant.name)
        score = self.tenant.client.zscore(agenda, self.tenant.name)
        return round((score - self.tenant.broker.clock.now()) / SECOND)

    async def told(self, task: str) -> list[dict[str, Any]]:
        """What viewers of the task were told after its first `queued`."""
        frames = [frame["data"] for frame in await self.tenant.frames() if frame.get("task_id") == task]
        return frames[1:]


@pytest.fixture
def watched(swept: Parts) -> Watched:
    """A tenant with an open socket."""
    return Watched(swept)


def update(position: int | None, eta: list[int] | None, why: str | None, **more: Any) -> dict[str, Any]:
    """The data of a `task_update` that explains a wait."""
    told = {"queue_position": position, "eta_seconds": eta, "waiting_for": why}
    return {"status": "queued", "attempt": 1, **told, **more}


async def test_told_why(watched: Watched) -> None:
    """A task that nobody takes is told of: its place, and that there is no worker; the ledger says the same."""
    first, second = await watched.task(), await watched.task()
    await watched.look()
    assert await watched.told(first) == [update(1, None, NO_WORKER)]
    assert await watched.told(second) == [update(2, None, NO_WORKER)]
    record = await watched.tenant.record(second)
    assert (
        record["told"] == b'1 {"queue_position":2,"eta_seconds":null,"waiting_for":"no worker for agent-123"}'
    )


async def test_nothing_new_is_no_event(watched: Watched) -> None:
    """However often it is looked at, what was told is told once."""
    task = await watched.task()
    for _ in range(9):
        await watched.look()
        watched.age(task, 60)
    assert len(await watched.told(task)) == 1


async def test_at_most_every_five_seconds(watched: Watched) -> None:
    """However often the tenant is looked at and the place changes: one event in 5 s, ever more seldom, up to 30 s."""
    client, task = watched.tenant.client, await watched.task()
    events, since = 0, 0
    gaps: list[int] = []
    for second in range(300):
        client.rpush(QUEUE, f"another-{second}")
        await watched.look()
        since += 1
        if len(await watched.told(task)) > events:
            gaps.append(since)
            events, since = events + 1, 0
        watched.age(task, 1)
    assert gaps[0] == 1
    assert gaps[1] == 5
    assert gaps[1:] == sorted(gaps[1:])
    assert gaps[-1] == 30
    assert events == len(gaps) < 20


async def test_looked_at_again(watched: Watched) -> None:
    """While something waits the tenant is looked at each 5 s; a new task after 3 s."""
    await watched.task(seconds_ago=10)
    assert await watched.look() == 5
    young = watched.tenant.another("globex")
    other = Watched(Parts(young))
    await other.task(seconds_ago=0)
    assert await other.look() in {2, 3}
    assert await other.told("task-globex-1") == []


async def test_nobody_looks(swept: Parts, tenant: Tenant) -> None:
    """Without a socket nothing is told, and the tenant is not looked at more often."""
    watched = Watched(swept)
    tenant.client.delete(tenant.key("sockets"))
    task = await watched.task()
    assert await watched.look() == 60
    assert await watched.told(task) == []
    assert "told_at" not in await tenant.record(task)


async def test_nothing_waits(watched: Watched) -> None:
    """A tenant whose tasks all run is looked at as seldom as one without sockets."""
    task = await watched.task()
    await watched.tenant.deliver(callback(task, "running"))
    assert await watched.look() == 60
    assert [data["status"] for data in await watched.told(task)] == ["running"]


async def test_begun_meanwhile(watched: Watched) -> None:
    """What an agent reported while the answer was looked for goes first: nothing is told any more."""
    task = await watched.task()
    tended, _ = await watched.tenant.tasks.tend(watched.tenant.name)
    await watched.tenant.deliver(callback(task, "running"))
    await watched.parts.explainer.tell(watched.tenant.name, tended.waits)
    assert [data["status"] for data in await watched.told(task)] == ["running"]


async def test_next_attempt(watched: Watched) -> None:
    """A task that is tried again is told of anew: first when, then what its attempt waits for."""
    task = await watched.task()
    await watched.look()
    await watched.tenant.deliver(callback(task, "failed", attempt=1, retry=True))
    await watched.tenant.tasks.retry(watched.tenant.name, task, 2)
    await watched.look()
    assert (await watched.told(task))[-1] == update(
        None, None, "the next attempt in 1 s", status="retrying", attempt=3
    )


async def test_a_few_at_a_time(watched: Watched) -> None:
    """A look tells of 20 tasks at most, those first that wait the longest; the next look goes on at once."""
    tasks = [await watched.task(seconds_ago=60 - i, timeout=300 + i) for i in range(23)]
    assert await watched.look() == 1
    told = [task for task in tasks if await watched.told(task)]
    assert told == tasks[:20]
    await watched.look()
    assert all([await watched.told(task) for task in tasks])


async def test_record_that_cannot_be_read(watched: Watched) -> None:
    """A task whose record or session cannot be read keeps no other from being told of."""
    broken, task = await watched.task(session="sess-2"), await watched.task()
    key = watched.tenant.key("session:sess-2")
    watched.tenant.client.set(key, "foreign", ex=60)
    await watched.look()
    assert len(await watched.told(task)) == 1
    watched.tenant.client.delete(key, watched.tenant.key(f"task:{broken}"))
    watched.tenant.client.set(watched.tenant.key(f"task:{broken}"), "foreign", ex=60)
    watched.age(task, 60)
    assert await watched.look() == 5


async def test_in_its_turn(watched: Watched) -> None:
    """Where workers of the SDK serve the context, place and time are those of the fair order."""
    dispatch = Dispatch(watched.tenant.broker.run)
    tasks = [await watched.task() for _ in range(3)]
    await dispatch.register("w", ["agent-123"], 1, 15_000)
    await dispatch.ready([Waiting(task, 1, "agent-123", "free", watched.tenant.queue) for task in tasks])
    watched.tenant.client.hset("{dispatch}:c:agent-123", mapping={"avg": 10, "dev": 1})
    await dispatch.claim("w", 15_000, 1)
    await watched.look()
    assert await watched.told(tasks[1]) == [update(1, [0, 15], "a free worker")]
    assert await watched.told(tasks[2]) == [update(2, [8, 25], "1 ahead")]


async def test_pace_is_told(watched: Watched) -> None:
    """Which tasks agents begin and lose is told to the dispatch, queue by queue."""
    begun, lost, over = [await watched.task() for _ in range(3)]
    parts, tenant = watched.parts, watched.tenant
    tenant.report(*(callback(task, "running") for task in (begun, lost, over)))
    await watched.look()
    await parts.pace.tell()
    assert tenant.client.zcard("{dispatch}:runs:agent-123:free") == 3
    tenant.report(callback(lost, "failed", attempt=1, retry=True), callback(over, "completed"))
    await watched.look()
    await parts.pace.tell()
    assert tenant.client.zrange("{dispatch}:runs:agent-123:free", 0, -1) == [begun.encode()]
    assert round(float(tenant.client.hget("{dispatch}:s:agent-123:free", "n"))) == 3
