"""Attempts whose worker is gone: the next one is on its queue before anybody asks (contract §5)."""

import json

import pytest
from tests.broker.tenant import QUEUE, callback
from tests.broker.test_attempts import PAYLOAD
from tests.delivery.parts import Parts

from orchestrator.metrics import Counter

Pushed = list[tuple[str, int]]


def waiting(parts: Parts) -> Pushed:
    """Tasks and attempts on the queue, the next to be taken first."""
    payloads = [json.loads(payload) for payload in reversed(parts.tenant.client.lrange(QUEUE, 0, -1))]
    return [(payload["message"], payload["attempt"]) for payload in payloads]


async def running(parts: Parts) -> str:
    """A task that a worker has taken from its queue."""
    task = (await parts.tenant.admit(PAYLOAD)).task
    await parts.tenant.admissions.push(QUEUE, task, 1, PAYLOAD, 60_000)
    await parts.tenant.admissions.mark_queued(parts.tenant.name, (task, 1))
    parts.tenant.client.rpop(QUEUE)
    await parts.tenant.deliver(callback(task, "running", attempt=1))
    return task


async def test_next_attempt_is_pushed(parts: Parts) -> None:
    """The next attempt is the first of its queue at once; the log and the figures tell of it."""
    task = await running(parts)
    other = PAYLOAD.replace(b'"hi"', b'"later"')
    await parts.tenant.admissions.push(QUEUE, "task-later", 1, other, 60_000)
    async with parts.pumping():
        await parts.supervision.lapsed(parts.tenant.name, task, 1, "w1")

    assert waiting(parts) == [("hi", 2), ("later", 1)]
    assert parts.counted(Counter.TASKS_RETRIED) == {"worker_lost": 1}
    assert "lease_lost" in parts.events
    assert not parts.tenant.client.exists(parts.tenant.key("unpushed"))


async def test_a_clock_that_lags(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server has just made due is due, though our guess of its clock is a little behind."""
    task = await running(parts)
    clock = parts.tenant.broker.clock
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() - 30_000)
    async with parts.pumping():
        await parts.supervision.lapsed(parts.tenant.name, task, 1, "w1")
    assert waiting(parts) == [("hi", 2)]


async def test_told_twice(parts: Parts) -> None:
    """Two replicas that both look after a lapsed lease push one attempt."""
    task = await running(parts)
    async with parts.pumping():
        for _ in range(2):
            await parts.supervision.lapsed(parts.tenant.name, task, 1, "w1")
    assert waiting(parts) == [("hi", 2)]


async def test_a_lease_that_is_renewed_meanwhile(parts: Parts) -> None:
    """Whether the lease is over still is asked after the callbacks: a worker that renewed it goes on."""
    task = await running(parts)

    async def still_over() -> bool:
        return bool(parts.tenant.client.llen(parts.tenant.broker.keys.callbacks(parts.tenant.name)))

    parts.tenant.report(callback(task, "streaming", {"delta": "x"}, attempt=1))
    async with parts.pumping():
        assert not await parts.supervision.lapsed(parts.tenant.name, task, 1, "w1", still_over)
    assert waiting(parts) == []
    assert (await parts.tenant.record(task))["attempt"] == b"1"


async def test_an_ending_that_waits_counts(parts: Parts) -> None:
    """What the worker could still report before it died is taken first: the task ends by it."""
    task = await running(parts)
    parts.tenant.report(callback(task, "completed", {"response": "done"}, attempt=1))
    async with parts.pumping():
        await parts.supervision.lapsed(parts.tenant.name, task, 1, "w1")
    assert await parts.tenant.status(task) == "completed"
    assert waiting(parts) == []


async def test_a_worker_that_never_began(parts: Parts) -> None:
    """A worker that died between its claim and the queue leaves the element: it is replaced, not doubled."""
    task = (await parts.tenant.admit(PAYLOAD)).task
    await parts.tenant.admissions.push(QUEUE, task, 1, PAYLOAD, 60_000)
    async with parts.pumping():
        await parts.supervision.lapsed(parts.tenant.name, task, 1, "w1")
    assert waiting(parts) == [("hi", 2)]


async def test_back_off_is_left_to_the_agenda(parts: Parts) -> None:
    """An attempt that has to wait is on the agenda for then, and pushed by the look at it."""
    task = await running(parts)
    async with parts.pumping():
        parts.tenant.report(callback(task, "failed", {"error": "busy"}, attempt=1, retry=True))
        parts.worker.ring(parts.tenant.name)
        await parts.worker.settled(parts.tenant.name)
        assert waiting(parts) == []
        look = parts.tenant.client.zscore(parts.tenant.broker.keys.agenda("acme"), "acme")
        assert look == pytest.approx(parts.tenant.broker.clock.now() + 1_000_000, abs=900_000)

        parts.tenant.client.zadd(parts.tenant.key("unpushed"), {task: 1})
        await parts.due_pushes.attend(parts.tenant.name, 0)
    assert waiting(parts) == [("hi", 2)]
    assert parts.counted(Counter.TASKS_RETRIED) == {"asked": 1}


async def test_poison_ends(parts: Parts) -> None:
    """A task that kills its workers ends after the maximum; nothing of it is left on the queue."""
    task = await running(parts)
    parts.tenant.client.hset(parts.tenant.key(f"task:{task}"), "attempts_max", 1)
    async with parts.pumping():
        await parts.supervision.lapsed(parts.tenant.name, task, 1, "w1")
    assert (await parts.tenant.record(task))["code"] == b"too_many_attempts"
    assert waiting(parts) == []
    assert parts.counted(Counter.TASKS_ENDED) == {"failed": 1}
