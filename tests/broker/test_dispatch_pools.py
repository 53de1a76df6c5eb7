"""register.lua: groups of workers that come to share contexts are one group from then on, for all of them."""

import pytest
from tests.broker.floor import Floor

ORDERS = pytest.mark.parametrize("names", [("w1", "w2", "w3"), ("w2", "w1", "w0"), ("w3", "w2", "w1")])
Names = tuple[str, str, str]


async def overlapping(floor: Floor, names: Names) -> None:
    """Workers of {a}, of {b}, and of both."""
    for name, contexts in zip(names, (("a",), ("b",), ("a", "b")), strict=True):
        await floor.worker(name, *contexts)


@ORDERS
async def test_every_worker_of_a_joined_group_gets_its_tasks(floor: Floor, names: Names) -> None:
    """Who served a context before it was joined goes on getting what comes for it, and what had come before."""
    await floor.worker(names[1], "b")
    await floor.wait("early", context="b")
    await overlapping(floor, names)
    await floor.wait("task-a", context="a")
    await floor.wait("task-b", context="b")
    assert await floor.claim(names[0], 9) == ["task-a"]
    assert await floor.claim(names[1], 9) == ["early", "task-b"]


@ORDERS
async def test_a_wake_is_not_swallowed(floor: Floor, names: Names) -> None:
    """An idle worker that is woken finds what it was woken for."""
    await overlapping(floor, names)
    await floor.claim(names[1], 4)
    await floor.wait("task-1", context="b")
    assert floor.woken(names[1]) == ["claim"]
    assert await floor.claim(names[1], 4) == ["task-1"]


@ORDERS
async def test_a_beat_and_a_leave_know_the_group(floor: Floor, names: Names) -> None:
    """A wake that was lost is found by the next beat, and handed on by who leaves."""
    await overlapping(floor, names)
    await floor.wait("task-1", context="b")
    floor.client.sadd("{dispatch}:idle", names[1])
    await floor.worker(names[1], "b")
    assert floor.woken(names[1]) == ["claim"]

    floor.client.sadd("{dispatch}:idle", names[2])
    await floor.dispatch.leave(names[1])
    assert floor.woken(names[2]) == ["claim"]


async def test_a_chain_of_groups(floor: Floor) -> None:
    """Groups that are joined one after the other, in any direction, are one, and whoever comes later is of it too."""
    for number in range(20):
        await floor.worker(f"w{number}", f"c{number}")
    for number in range(19):
        await floor.worker(f"x{7 * number % 19}", f"c{number}", f"c{number + 1}")
    for number in range(20):
        await floor.wait(f"task-{number}", context=f"c{number}")
        assert await floor.claim(f"w{number}", 1) == [f"task-{number}"]
    assert floor.client.hlen("{dispatch}:pools") == 19
    assert floor.client.hlen("{dispatch}:v") == 1
    assert await floor.worker("new", "c3") == "new"
    await floor.wait("task-new", context="c3")
    assert await floor.claim("new", 1) == ["task-new"]


@pytest.mark.parametrize("resident", ["a", "b"])
async def test_tenants_of_both_groups_take_turns(floor: Floor, resident: str) -> None:
    """Virtual times of one group say nothing in the other: neither backlog goes before the other one."""
    moved = {"a": "b", "b": "a"}[resident]
    await floor.worker("w1", "a")
    await floor.worker("w2", "b")
    for context, tenant in ((resident, "old"), (moved, "young")):
        await floor.wait(*(f"{tenant}-{number}" for number in range(60)), tenant=tenant, context=context)
    assert len(await floor.claim({"a": "w1", "b": "w2"}[resident], 30)) == 30

    both = await floor.worker("w3", "a", "b")
    got = await floor.claim(both, 20)
    assert 9 <= sum(task.startswith("old") for task in got) <= 11


async def test_a_lead_is_left_behind(floor: Floor) -> None:
    """Where a group of much later times goes into a young one, its contexts come first there, not after all others."""
    await floor.worker("w2", "b")
    await floor.wait("task-b", "task-c", context="b", tenant="old")
    assert await floor.claim("w2", 1) == ["task-b"]
    floor.client.zadd("{dispatch}:ready:b", {"orchestrator:old:callbacks": 9_000_000_000})
    foreign = [f"f{number:02}" for number in range(20)]
    await floor.worker("w1", "a", *foreign)
    for context in foreign:
        await floor.wait(f"task-{context}", context=context, tenant=context)
    await floor.worker("w3", "b", "a")
    assert await floor.claim("w2", 1) == ["task-c"]
    assert (floor.value("v", "w1") or 0) < 10


async def test_the_names_of_groups_last_as_long_as_workers(floor: Floor) -> None:
    """Each beat of a worker keeps what tells its group."""
    await overlapping(floor, ("w1", "w2", "w3"))
    floor.client.expire("{dispatch}:pools", 5)
    await floor.worker("w2", "b")
    assert floor.client.ttl("{dispatch}:pools") > 86_400
