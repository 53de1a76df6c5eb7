"""What the dispatch does after Redis was away, or came back without its last writes."""

import pytest
from tests.broker.floor import LEASE_MS, PAST_MS, Floor

from orchestrator.broker.dispatch import Lapsed

RENEWAL_MS = 5_000
LOOKED = "{dispatch}:looked:orchestrator"


async def look(floor: Floor) -> list[Lapsed]:
    """Lapsed runs, as the service asks for them."""
    return await floor.dispatch.overdue("orchestrator", 10, again_ms=0, renewal_ms=RENEWAL_MS)


async def lapsed_run(floor: Floor) -> str:
    """A worker whose lease of `task-1` is over."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.claim(worker, 1, PAST_MS)
    return worker


async def test_lost_writes_of_a_claim(floor: Floor) -> None:
    """A task that waits here though the worker has it is the worker's: nobody else is given it."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")  # the claim of it was lost
    assert await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")]) == []
    assert await floor.claim(worker, 9) == []
    assert floor.running() == 1
    assert not floor.client.exists("{dispatch}:e:agent-1:free")
    await floor.finish("task-1", worker=worker)
    assert floor.running() == 0


@pytest.mark.parametrize("state", ["waits", "runs", "taken"])
async def test_lost_writes_of_a_next_attempt(floor: Floor, state: str) -> None:
    """Whatever is known of an earlier attempt, the one that the worker has goes on."""
    worker, before = await floor.worker("w1"), await floor.worker("w0")
    await floor.wait("task-1")
    if state != "waits":
        await floor.claim(before)
    if state == "taken":
        await floor.finish("task-1")
    second = floor.held("task-1", 2)
    assert await floor.dispatch.renew(worker, LEASE_MS, [second]) == []
    assert await floor.dispatch.renew(before, LEASE_MS, [floor.held("task-1")]) == [floor.held("task-1")]
    assert await floor.dispatch.renew(worker, LEASE_MS, [second]) == []
    assert floor.running() == 1


async def test_leases_that_ended_while_redis_was_away(floor: Floor) -> None:
    """After a gap live workers have the time of a renewal; who does not use it has lapsed."""
    await look(floor)
    worker = await lapsed_run(floor)
    floor.client.hincrby(LOOKED, "last", -60_000)
    assert await look(floor) == []
    assert await look(floor) == []

    floor.client.hincrby(LOOKED, "since", -RENEWAL_MS)
    assert await look(floor) == []
    floor.client.hincrby(LOOKED, "since", -1_000)
    assert [lapsed.worker for lapsed in await look(floor)] == [worker]


async def test_renewed_after_redis_was_away(floor: Floor) -> None:
    """A worker that renews in that time keeps its run."""
    await look(floor)
    worker = await lapsed_run(floor)
    floor.client.hincrby(LOOKED, "last", -60_000)
    assert await look(floor) == []
    await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")])
    floor.client.hincrby(LOOKED, "since", -60_000)
    assert await look(floor) == []


async def test_looks_in_time(floor: Floor) -> None:
    """Where somebody looks all the time, or for the first time, nothing is put off."""
    await lapsed_run(floor)
    for gap in (0, 1_000, RENEWAL_MS - 2_000):
        assert len(await look(floor)) == 1
        floor.client.hincrby(LOOKED, "last", -gap)
    assert len(await look(floor)) == 1
    assert 0 < floor.client.ttl(LOOKED) <= 86_400


async def test_looking_after_what_was_found_is_looking(floor: Floor) -> None:
    """However long it takes to hand on what lapsed, the next look is in time."""
    await lapsed_run(floor)
    (lapsed,) = await look(floor)
    floor.client.hincrby(LOOKED, "last", -60_000)
    assert await floor.dispatch.still_over("orchestrator", lapsed)
    assert len(await look(floor)) == 1


async def test_renewed_since_it_was_told(floor: Floor) -> None:
    """A lease that its worker renews, or that somebody finishes, is over no more."""
    worker = await lapsed_run(floor)
    (lapsed,) = await look(floor)
    assert await floor.dispatch.still_over("orchestrator", lapsed)
    await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")])
    assert not await floor.dispatch.still_over("orchestrator", lapsed)
    await floor.finish("task-1")
    assert not await floor.dispatch.still_over("orchestrator", lapsed)
