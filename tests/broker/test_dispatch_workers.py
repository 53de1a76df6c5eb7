"""register.lua, leave.lua and served.lua: who lives and serves what, and who is woken."""

from tests.broker.floor import LEASE_MS, PAST_MS, Floor


async def idle(floor: Floor, name: str, *contexts: str) -> str:
    """A worker that found nothing to do."""
    await floor.worker(name, *contexts)
    assert await floor.claim(name, 4) == []
    return name


async def test_one_worker_is_woken(floor: Floor) -> None:
    """A task wakes one idle worker, not all, and not one that was woken and has not come yet."""
    workers = [await idle(floor, f"w{number}") for number in range(3)]
    await floor.wait("task-1")
    woken = {worker: floor.woken(worker) for worker in workers}
    assert sorted(woken.values()) == [[], [], ["claim"]]

    await floor.wait("task-2")
    await floor.wait("task-3")
    await floor.wait("task-4")
    assert sorted(floor.woken(worker) for worker in workers if not woken[worker]) == [["claim"], ["claim"]]


async def test_only_who_serves_it_is_woken(floor: Floor) -> None:
    """However many idle workers of other contexts there are."""
    others = [await idle(floor, f"other-{number}", "agent-9") for number in range(20)]
    worker = await idle(floor, "w1")
    await floor.wait("task-1")
    assert floor.woken(worker) == ["claim"]
    assert not any(floor.woken(other) for other in others)


async def test_the_dead_are_not_woken(floor: Floor) -> None:
    """A worker that has not renewed for its lease is passed over."""
    dead = [await idle(floor, f"dead-{number}") for number in range(3)]
    worker = await idle(floor, "w1")
    floor.client.zadd("{dispatch}:workers", dict.fromkeys(dead, 1))
    await floor.wait("task-1")
    assert floor.woken(worker) == ["claim"]
    assert not any(floor.woken(one) for one in dead)


async def test_a_full_worker_is_not_woken(floor: Floor) -> None:
    """Who filled its last slot is not idle from that very step on."""
    await floor.wait("task-1")
    worker = await idle_without_looking(floor, "w1")
    assert await floor.claim(worker, 1) == ["task-1"]
    await floor.wait("task-2")
    assert floor.woken(worker) == []


async def test_a_wake_is_handed_on(floor: Floor) -> None:
    """A worker that was woken and has no slot any more wakes another one."""
    first = await idle(floor, "w1")
    await floor.wait("task-1")
    assert floor.woken(first) == ["claim"]
    second = await idle_without_looking(floor, "w2")
    assert await floor.claim(first, 0) == []
    assert floor.woken(second) == ["claim"]


async def idle_without_looking(floor: Floor, name: str) -> str:
    """A worker that is idle though something waits: what it was woken for was handed to it a moment ago."""
    await floor.worker(name)
    floor.client.sadd("{dispatch}:idle", name)
    floor.client.expire("{dispatch}:idle", 60)
    return name


async def test_a_wake_that_was_lost(floor: Floor) -> None:
    """What waits although a worker is idle is found with its next beat."""
    worker = await idle_without_looking(floor, "w1")
    await floor.wait("task-1")
    floor.woken(worker)
    floor.client.sadd("{dispatch}:idle", worker)
    await floor.worker(worker)
    assert floor.woken(worker) == ["claim"]


async def test_who_leaves_hands_its_wake_on(floor: Floor) -> None:
    """Nothing is left of a worker that went, and what it was woken for somebody else hears."""
    first = await idle(floor, "w1", *(f"agent-{number}" for number in range(1_200)))
    await floor.wait("task-1")
    second = await idle_without_looking(floor, "w2")
    await floor.dispatch.leave(first)
    await floor.dispatch.leave(first)
    assert floor.woken(second) == ["claim"]
    assert not floor.client.exists("{dispatch}:w:w1", "{dispatch}:serves:w1", "{dispatch}:wake:w1")
    assert (await floor.dispatch.served(["agent-1", "agent-2"])).contexts == {"agent-1"}


async def test_leases_outlive_a_leave(floor: Floor) -> None:
    """A worker that stops finishes what it has, and goes on renewing it."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.claim(worker)
    await floor.dispatch.leave(worker)
    assert await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")]) == []
    assert floor.running() == 1
    assert (await floor.dispatch.served()).workers == 0


async def test_which_contexts_are_served(floor: Floor) -> None:
    """Those that a live worker has registered; the dead are forgotten on the way."""
    await floor.worker("w1", "agent-1", "agent-2")
    await floor.dispatch.register("dead", ["agent-2", "agent-3"], 4, PAST_MS)
    served = await floor.dispatch.served(["agent-1", "agent-2", "agent-3", "agent-4"])
    assert (served.workers, served.contexts) == (1, {"agent-1", "agent-2"})
    assert not floor.client.exists("{dispatch}:workers:agent-3")


async def test_a_beat_is_one_small_call(floor: Floor) -> None:
    """A worker of thousands of contexts tells them once; then it only says that it lives."""
    contexts = [f"agent-{number}" for number in range(1_200)]
    await floor.dispatch.register("w1", contexts, 4, PAST_MS)
    before = floor.client.info("commandstats")["cmdstat_sadd"]["calls"]
    await floor.dispatch.register("w1", contexts, 4, LEASE_MS)
    assert floor.client.info("commandstats")["cmdstat_sadd"]["calls"] == before
    assert (await floor.dispatch.served(["agent-7"])).contexts == {"agent-7"}


async def test_a_worker_that_was_forgotten(floor: Floor) -> None:
    """Where Redis came back empty the next beat tells everything anew."""
    worker = await floor.worker("w1")
    floor.client.flushall()
    assert await floor.claim(worker) == []
    await floor.worker(worker)
    await floor.wait("task-1")
    assert await floor.claim(worker) == ["task-1"]


async def test_workers_that_share_contexts_share_a_present(floor: Floor) -> None:
    """A context that another group of workers joins keeps its order, and nobody's backlog is lost over it."""
    await floor.worker("w1", "agent-1")
    await floor.worker("w2", "agent-2")
    await floor.wait("task-1", tenant="one")
    await floor.wait("task-2", tenant="two", context="agent-2")
    both = await floor.worker("w3", "agent-1", "agent-2")
    assert sorted(await floor.claim(both, 9)) == ["task-1", "task-2"]
