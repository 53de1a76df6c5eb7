"""The roster of replicas, the sums of the deployment, and the survey of its queues."""

import asyncio
from typing import Any

from tests.broker.tenant import QUEUE, SECOND, Tenant

from orchestrator.broker.agenda import Agenda
from orchestrator.broker.broker import Broker
from orchestrator.broker.queues import Queues
from orchestrator.broker.roster import DEAD_AFTER_MICROS, Roster
from orchestrator.protocol.times import rfc3339


async def test_heartbeats(broker: Broker, client: Any) -> None:
    """Who beats is live, with what it told; who stopped is not, after three seconds."""
    roster = Roster(broker, "orchestrator")
    assert await roster.beat("r1", {"n": 1}) == ["r1"]
    assert sorted(await roster.beat("r2", {"n": 2})) == ["r1", "r2"]
    assert await roster.reports() == {"r1": {"n": 1}, "r2": {"n": 2}}
    assert client.zscore(broker.keys.replicas, "r1") <= broker.clock.now() + DEAD_AFTER_MICROS
    client.zadd(broker.keys.replicas, {"r1": broker.clock.now() - 1})
    assert await roster.live() == ["r2"]
    assert await roster.beat("r2", {}) == ["r2"]
    assert client.zscore(broker.keys.replicas, "r1") is None


async def test_leaving(broker: Broker) -> None:
    """A replica that drains is off the roster at once."""
    roster = Roster(broker, "orchestrator")
    await roster.beat("r1", {})
    await roster.leave("r1")
    assert (await roster.live(), await roster.reports()) == ([], {})


async def test_totals(broker: Broker) -> None:
    """Sums outlive their replicas."""
    roster = Roster(broker, "orchestrator")
    await roster.add_totals({"accepted": 2, "ended": 1})
    await roster.add_totals({"accepted": 3})
    assert await roster.totals() == {"accepted": 5, "ended": 1}


async def test_queues_that_were_used(broker: Broker, client: Any) -> None:
    """Queues are remembered for a week after their last use."""
    roster = Roster(broker, "orchestrator")
    await roster.note_queues([QUEUE, "execution:agent-9:free"])
    client.zadd(broker.keys.queues, {QUEUE: broker.clock.now() - 8 * 86_400 * SECOND})
    await roster.note_queues(["execution:agent-9:free"])
    assert await roster.queues() == ["execution:agent-9:free"]


async def test_a_queue_noted_by_a_replica_that_stops_there(broker: Broker, client: Any) -> None:
    """The note and its expiry leave together: whoever stops after the first reply leaves no key without an end."""
    roster, key = Roster(broker, "orchestrator"), broker.keys.queues
    noting = asyncio.create_task(roster.note_queues([QUEUE]))
    while not await broker.command(key, "EXISTS", key):
        pass
    noting.cancel()
    await asyncio.gather(noting, return_exceptions=True)
    assert client.ttl(key) > 0


async def test_survey(tenant: Tenant) -> None:
    """Every queue with its depth; an execution queue with the age of what waits longest."""
    broker = tenant.broker
    queues = Queues(broker, Agenda(broker), Roster(broker, "orchestrator"))
    await Agenda(broker).note(tenant.name, broker.clock.now())
    created = rfc3339(broker.clock.now() - 5 * SECOND)
    tenant.client.lpush(QUEUE, f'{{"created_at":"{created}"}}', "{}")
    tenant.client.lpush("execution:agent-9:free", "not JSON")
    tenant.report(b"?")
    rows = {
        row.name: row for row in await queues.survey([QUEUE, "execution:agent-9:free", "execution:none:free"])
    }

    assert {name: (row.kind, row.depth) for name, row in rows.items()} == {
        QUEUE: ("execution", 2),
        "execution:agent-9:free": ("execution", 1),
        "execution:none:free": ("execution", 0),
        tenant.queue: ("callbacks", 1),
    }
    assert 5 <= (rows[QUEUE].oldest_age_seconds or 0) < 10
    assert rows["execution:agent-9:free"].oldest_age_seconds is None


async def test_place_in_a_queue(tenant: Tenant) -> None:
    """How many tasks an agent takes before this one; none where it waits no more."""
    for name in ("first", "second", "third"):
        await tenant.admissions.push(QUEUE, name, 1, name.encode(), 60_000)
    places = [await tenant.tasks.ahead(QUEUE, name, 1) for name in ("first", "third", "gone")]
    assert places == [(0, False), (2, False), (None, False)]
    assert await tenant.tasks.ahead(QUEUE, "third", 2) == (None, False)
    assert await tenant.tasks.ahead(QUEUE, "third", 1, within=2) == (None, True)
    tenant.client.rpop(QUEUE)
    assert await tenant.tasks.ahead(QUEUE, "first", 1, within=2) == (None, False)
    await tenant.admissions.push(QUEUE, "first", 2, b"again", 60_000, side="right", old_attempt=1)
    assert await tenant.tasks.ahead(QUEUE, "first", 2) == (0, False)
