"""Whose turn it is: weights, caps, and who comes back (docs/fairness.md)."""

from collections import Counter

import pytest
from tests.broker.floor import Floor, home

from orchestrator.broker.dispatch import Waiting


async def turns(floor: Floor, worker: str, count: int) -> list[str]:
    """Whose tasks are claimed, one after the other; each is over before the next is claimed, and took no time."""
    served: list[str] = []
    for _ in range(count):
        (task,) = await floor.claim(worker)
        served.append(task.split("-")[1])
    return served


async def backlog(floor: Floor, tenant: str, count: int, context: str = "agent-1", weight: int = 1) -> None:
    """Tasks of a tenant that wait."""
    tasks = [f"task-{tenant}-{context}-{number}" for number in range(count)]
    await floor.wait(*tasks, tenant=tenant, context=context, weight=weight)


async def test_tenants_take_turns(floor: Floor) -> None:
    """Of two tenants with the same weight neither waits for the backlog of the other."""
    worker = await floor.worker("w1")
    await backlog(floor, "heavy", 50)
    await backlog(floor, "light", 5)
    assert Counter(await turns(floor, worker, 10)) == {"heavy": 5, "light": 5}


async def test_runs_that_take_no_time_cost_turns(floor: Floor) -> None:
    """A turn always comes to something: else who is first would have every turn."""
    worker = await floor.worker("w1")
    floor.client.hset("{dispatch}:c:agent-1", mapping={"avg": 0, "dev": 0})
    await backlog(floor, "heavy", 50)
    await backlog(floor, "light", 5)
    assert Counter(await turns(floor, worker, 10)) == {"heavy": 5, "light": 5}


async def test_turns_by_weight(floor: Floor) -> None:
    """Weights 1, 2, 4 and 8 get shares of 1, 2, 4 and 8."""
    worker = await floor.worker("w1")
    for weight in (1, 2, 4, 8):
        await backlog(floor, f"w{weight}", 60, weight=weight)
    assert Counter(await turns(floor, worker, 75)) == {"w1": 5, "w2": 10, "w4": 20, "w8": 40}


async def test_a_flood_over_many_contexts(floor: Floor) -> None:
    """Who spreads a backlog over 20 contexts gets no more than who has one."""
    contexts = [f"agent-{number}" for number in range(20)]
    worker = await floor.worker("w1", *contexts)
    for context in contexts:
        await backlog(floor, "flood", 5, context)
    await backlog(floor, "light", 30, "agent-7")
    assert Counter(await turns(floor, worker, 40)) == {"flood": 20, "light": 20}


async def test_long_runs_cost_turns(floor: Floor) -> None:
    """Who had an agent for 100 s waits until the others have had as much, for other agents of the same workers too."""
    worker = await floor.worker("w1", "agent-1", "agent-2")
    await backlog(floor, "long", 1)
    (task,) = await floor.claim(worker)
    await backlog(floor, "long", 10, "agent-2")
    await backlog(floor, "short", 10, "agent-2")
    floor.client.hincrby(f"{{dispatch}}:l:{task}", "start", -100_000)
    await floor.dispatch.renew(worker, 60_000, [floor.held(task, tenant="long")])
    assert await turns(floor, worker, 10) == ["short"] * 10
    assert await turns(floor, worker, 3) == ["long"] * 3


async def test_agents_without_workers_hide_nothing(floor: Floor) -> None:
    """A tenant that waits for 20 agents whose workers are gone has its turn with the one that is served."""
    dead = [f"agent-{number}" for number in range(20)]
    await floor.worker("gone", "agent-live", *dead)
    worker = await floor.worker("w1", "agent-live")
    for context in dead:
        await backlog(floor, "many", 1, context)
    await backlog(floor, "many", 10, "agent-live")
    await backlog(floor, "one", 10, "agent-live")
    assert Counter(await turns(floor, worker, 10)) == {"many": 5, "one": 5}


async def took(floor: Floor, seconds: int, *tasks: str) -> None:
    """These runs are over, and took so long."""
    for task in tasks:
        floor.client.hincrby(f"{{dispatch}}:l:{task}", "start", -1_000 * seconds)
    await floor.finish(*tasks)


async def test_who_is_held_back_by_a_cap_holds_back_nobody(floor: Floor) -> None:
    """A capped tenant falls far behind the present; short as its runs are, newcomers do not begin where it stands."""
    worker = await floor.worker("w1")
    floor.client.hset("{dispatch}:c:agent-1", "avg", 5)
    await floor.wait(*(f"task-capped-{number}" for number in range(40)), tenant="capped", cap=1)
    await backlog(floor, "busy", 99)
    for _ in range(20):
        for task in await floor.claim(worker, 4):
            await took(floor, 1 if "capped" in task else 10, task)
    await backlog(floor, "new", 30)
    assert Counter(await turns(floor, worker, 30))["busy"] >= 10


async def test_what_a_pool_pays_back_is_nothing_to_another(floor: Floor) -> None:
    """A tenant that waits for the agents of two pools is moved in the one whose present goes back."""
    one, two = await floor.worker("w1", "agent-1"), await floor.worker("w2", "agent-2")
    for context, seconds in (("agent-1", 100), ("agent-2", 1_000)):
        floor.client.hset(f"{{dispatch}}:c:{context}", "avg", seconds)
        await backlog(floor, "busy", 9, context)
    await floor.claim(two, 4)
    running = await floor.claim(one, 4)
    await backlog(floor, "both", 2, "agent-1")
    await backlog(floor, "both", 2, "agent-2")
    before = floor.client.zscore("{dispatch}:ready:agent-2", home("both"))
    await took(floor, 1, *running)
    assert floor.client.zscore("{dispatch}:ready:agent-1", home("both")) < 100_000_000
    assert floor.client.zscore("{dispatch}:ready:agent-2", home("both")) == before > 1_000_000_000


@pytest.mark.parametrize("early", [True, False], ids=["while they run", "when they are over"])
async def test_runs_that_take_less_than_expected_hold_up_nobody(floor: Floor, *, early: bool) -> None:
    """Who comes while others run, or later, waits for what they took, not for what was expected of their runs."""
    worker = await floor.worker("w1")
    floor.client.hset("{dispatch}:c:agent-1", "avg", 100)
    await floor.wait(*(f"a-{i}" for i in range(40)), tenant="acme")

    first = await floor.claim(worker, 4)
    if early:
        await floor.wait("g-1", "g-2", tenant="globex")
    await took(floor, 1, *first)
    if not early:
        await floor.wait("g-1", "g-2", tenant="globex")
    begun: list[str] = []
    for _ in range(6):
        begun += await floor.claim(worker, 1)
        await took(floor, 1, begun[-1])
    assert {"g-1", "g-2"} < set(begun)


async def test_who_comes_back_begins_at_the_present(floor: Floor) -> None:
    """A tenant that was away has not saved up turns."""
    worker = await floor.worker("w1")
    await backlog(floor, "busy", 60)
    await turns(floor, worker, 30)
    await backlog(floor, "away", 30)
    assert (await turns(floor, worker, 20)).count("away") in {10, 11}  # one turn for coming


async def test_a_cap_holds(floor: Floor) -> None:
    """No more than `cap` tasks of a tenant run at once, over all contexts; a place that gets free is taken."""
    worker = await floor.worker("w1", "agent-1", "agent-2")
    await floor.wait("task-1", "task-2", cap=2)
    await floor.wait("task-3", "task-4", context="agent-2", cap=2)
    await floor.wait("task-5", tenant="other")
    got = await floor.claim(worker, 9)
    assert len(got) == 3
    assert "task-5" in got

    mine = [task for task in got if task != "task-5"]
    for _ in range(2):
        await floor.finish(mine.pop(), worker=worker)
        (next_one,) = await floor.claim(worker, 9)
        mine.insert(0, next_one)
        assert floor.running() == 2


async def test_a_free_place_wakes_somebody(floor: Floor) -> None:
    """A worker that went idle because the tenant had no place left hears when there is one."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", "task-2", cap=1)
    assert await floor.claim(worker, 9) == ["task-1"]
    floor.woken(worker)
    await floor.finish("task-1", worker=worker)
    assert floor.woken(worker) == ["claim"]


async def test_a_weight_changes_for_what_waits(floor: Floor) -> None:
    """The backlog of a tenant is served by its new weight from the moment of the change."""
    worker = await floor.worker("w1")
    await backlog(floor, "one", 60)
    await backlog(floor, "two", 60)
    await turns(floor, worker, 20)
    await floor.dispatch.retune(home("two"), 3, 0)
    assert Counter(await turns(floor, worker, 40)) == {"one": 10, "two": 30}


async def test_a_cap_changes_for_what_waits(floor: Floor) -> None:
    """A cap that is raised lets the backlog in at once and wakes a worker; one that is set holds it back."""
    worker = await floor.worker("w1")
    await floor.wait(*(f"task-{number}" for number in range(6)), cap=1)
    assert len(await floor.claim(worker, 9)) == 1
    floor.woken(worker)
    await floor.dispatch.retune(home("acme"), 1, 3)
    assert floor.woken(worker) == ["claim"]
    assert len(await floor.claim(worker, 9)) == 2
    await floor.dispatch.retune(home("acme"), 1, 0)
    assert len(await floor.claim(worker, 9)) == 3


async def test_a_cap_is_known_before_anything_waits(floor: Floor) -> None:
    """What a worker adopts of a tenant is held to the cap that was told before; it is kept for a day."""
    worker = await floor.worker("w1")
    await floor.dispatch.retune(home("acme"), 3, 1)
    entries = [Waiting(f"task-{number}", 1, "agent-1", "free", home("acme")) for number in range(3)]
    await floor.dispatch.ready(entries, adopted=True)
    assert len(await floor.claim(worker, 9)) == 1
    assert 0 < floor.client.ttl(f"{{dispatch}}:n:{home('acme')}") <= 86_400


async def test_who_announces_knows_better_than_who_adopted(floor: Floor) -> None:
    """A worker adopts an attempt before it is announced: the announcement still tells the tenant's cap."""
    worker = await floor.worker("w1")
    entries = [Waiting(f"task-{number}", 1, "agent-1", "free", home("acme")) for number in range(3)]
    await floor.dispatch.ready(entries, adopted=True)
    assert await floor.wait("task-0", cap=1) == 0
    assert len(await floor.claim(worker, 9)) == 1


async def test_a_guess_changes_nothing_that_is_known(floor: Floor) -> None:
    """Who adopts a task does not know the tenant's share: it counts only where nobody has told it yet."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", tenant="known", cap=1)
    for tenant in ("known", "unknown"):
        entry = Waiting(f"task-{tenant}", 1, "agent-1", "free", home(tenant))
        await floor.dispatch.ready([entry], adopted=True)
    assert len(await floor.claim(worker, 9)) == 2


async def test_who_is_here(floor: Floor) -> None:
    """Tenants are listed by deployment."""
    await floor.wait("task-1", tenant="acme")
    await floor.wait("task-2", tenant="globex")
    assert sorted(await floor.dispatch.homes("orchestrator")) == [home("acme"), home("globex")]
    assert await floor.dispatch.homes("another") == []
