"""renew.lua, finish.lua, pause.lua and overdue.lua: a run lasts as long as its lease, and pays for its time."""

import msgspec
from tests.broker.floor import LEASE_MS, PAST_MS, Floor, home

from orchestrator.broker.dispatch import Lapsed


async def begun(floor: Floor, *tasks: str, lease_ms: int = LEASE_MS, weight: int = 1, cap: int = 0) -> str:
    """A worker that has these tasks."""
    worker = await floor.worker("w1")
    await floor.wait(*tasks, weight=weight, cap=cap)
    assert await floor.claim(worker, len(tasks), lease_ms) == list(tasks)
    return worker


def backdate(floor: Floor, task: str, seconds: float) -> None:
    """Let a run have begun earlier."""
    floor.client.hincrby(f"{{dispatch}}:l:{task}", "start", -int(seconds * 1000))


async def overdue(floor: Floor) -> list[str]:
    """The tasks whose leases are over; they come again at once."""
    return [lapsed.task for lapsed in await floor.dispatch.overdue("orchestrator", 10, again_ms=0)]


async def test_a_finished_run_leaves_nothing(floor: Floor) -> None:
    """Its worker finishes it: lease, place and note are gone, and a repeat changes nothing."""
    worker = await begun(floor, "task-1")
    for _ in range(2):
        await floor.finish("task-1", worker=worker)
        assert not floor.client.exists("{dispatch}:l:task-1", "{dispatch}:leases:orchestrator")
        assert floor.running() == 0


async def test_somebody_else_finishes_nothing(floor: Floor) -> None:
    """A worker that lost the task, or means an older attempt, does not end the run of the one that has it."""
    worker = await begun(floor, "task-1")
    await floor.finish("task-1", worker="w2")
    await floor.dispatch.finish([("task-1", 7)], worker)
    assert floor.running() == 1


async def test_the_service_ends_what_somebody_runs(floor: Floor) -> None:
    """Its place is free at once, the worker is told, and learns it again when it renews."""
    worker = await begun(floor, "task-1")
    floor.woken(worker)
    await floor.finish("task-1", tell=True)

    assert floor.running() == 0
    assert floor.woken(worker) == ["gone task-1 1"]
    assert await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")]) == [floor.held("task-1")]
    assert await overdue(floor) == []


async def test_the_service_ends_what_waits(floor: Floor) -> None:
    """It is never claimed, and nobody is told."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", "task-2")
    await floor.finish("task-1", tell=True)
    assert await floor.claim(worker, 9) == ["task-2"]


async def test_renewed(floor: Floor) -> None:
    """A lease begins anew with each renewal."""
    worker = await begun(floor, "task-1", lease_ms=PAST_MS)
    assert await overdue(floor) == ["task-1"]
    assert await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")]) == []
    assert await overdue(floor) == []


async def test_what_a_worker_has_lost(floor: Floor) -> None:
    """An attempt that was tried again, or that another worker has, is not renewed and is told."""
    worker = await begun(floor, "task-1", "task-2", "task-3")
    await floor.wait("task-1", attempt=2)
    await floor.wait("task-2", attempt=2)
    await floor.worker("w2")
    assert await floor.claim("w2", 1) == ["task-2"]
    held = [floor.held(f"task-{number}") for number in (1, 2, 3)]
    assert await floor.dispatch.renew(worker, LEASE_MS, held) == held[:2]


async def test_lost_to_oneself_and_regained_by_another(floor: Floor) -> None:
    """Attempt and worker count: a next attempt is another run, and so is the same one by somebody else."""
    worker = await begun(floor, "task-1", "task-2", lease_ms=PAST_MS)
    await floor.worker(worker)
    await floor.wait("task-1", attempt=2)
    assert await floor.claim(worker) == ["task-1"]
    await floor.wait("task-2")
    await floor.worker("w2")
    assert await floor.claim("w2") == ["task-2"]
    held = [floor.held("task-1"), floor.held("task-2")]
    assert await floor.dispatch.renew(worker, LEASE_MS, held) == held


async def test_a_run_that_nobody_knows_any_more(floor: Floor) -> None:
    """Where Redis came back empty a worker keeps what it has, and is supervised again."""
    worker = await begun(floor, "task-1")
    floor.client.flushall()
    assert await floor.dispatch.renew(worker, PAST_MS, [floor.held("task-1")]) == []
    assert await overdue(floor) == ["task-1"]


async def test_a_lease_that_is_over(floor: Floor) -> None:
    """It is told with all that is needed to try again, by prefix, and again until somebody has finished it."""
    worker = await begun(floor, "task-1", lease_ms=PAST_MS)
    assert await floor.dispatch.overdue("another", 10) == []
    lapsed = [Lapsed("task-1", 1, home("acme"), "agent-1", worker)]
    for again_ms in (0, 60_000):
        found = await floor.dispatch.overdue("orchestrator", 10, again_ms=again_ms)
        assert [msgspec.structs.replace(one, again_at=0) for one in found] == lapsed
    assert await floor.dispatch.overdue("orchestrator", 10) == []  # somebody has it, for a while
    await floor.finish("task-1")
    assert await overdue(floor) == []


async def test_a_lease_without_a_run(floor: Floor) -> None:
    """A lease whose note is gone is dropped."""
    await begun(floor, "task-1", lease_ms=PAST_MS)
    floor.client.delete("{dispatch}:l:task-1")
    assert await overdue(floor) == []
    assert not floor.client.exists("{dispatch}:leases:orchestrator")


async def test_a_lease_that_is_over_holds_no_place(floor: Floor) -> None:
    """A dead worker does not keep its tenant under the cap until somebody has looked after its tasks."""
    worker = await begun(floor, "task-1", lease_ms=PAST_MS, cap=1)
    await floor.wait("task-2", cap=1)
    assert await floor.claim(worker) == ["task-2"]


async def test_real_seconds_are_charged(floor: Floor) -> None:
    """A run costs what it took, whatever was expected of it; the next one is expected to take about as long."""
    worker = await begun(floor, "task-1", weight=2)
    assert floor.virtual_time("acme") == 0.5  # a second is expected where nothing is known
    backdate(floor, "task-1", 100)
    await floor.finish("task-1", worker=worker)
    assert 50 <= floor.virtual_time("acme") < 55
    assert 100 <= (floor.value("c:agent-1", "avg") or 0) < 110


async def test_a_short_run_gets_something_back(floor: Floor) -> None:
    """What was expected and not used is returned."""
    worker = await begun(floor, "task-1")
    backdate(floor, "task-1", 0.25)
    await floor.finish("task-1", worker=worker)
    assert 0.25 <= floor.virtual_time("acme") < 1


async def test_long_runs_pay_while_they_run(floor: Floor) -> None:
    """Each renewal charges what the run has taken since."""
    worker = await begun(floor, "task-1")
    for _ in range(2):
        backdate(floor, "task-1", 100)
        await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")])
    assert 200 <= floor.virtual_time("acme") < 210


async def test_what_was_not_to_be_had_costs_nothing(floor: Floor) -> None:
    """A claim whose element somebody else took is free, and says nothing about how long runs take."""
    worker = await begun(floor, "task-1")
    await floor.finish("task-1", worker=worker, ran=False)
    assert floor.virtual_time("acme") == 0
    assert floor.value("c:agent-1", "avg") is None


async def test_who_waits_for_a_human(floor: Floor) -> None:
    """It holds no place and is not charged, its lease goes on; then it takes its place back, and pays again."""
    worker = await begun(floor, "task-1", cap=1)
    await floor.wait("task-2", cap=1)
    assert await floor.claim(worker) == []
    await floor.dispatch.pause("task-1", 1)
    assert await floor.claim(worker) == ["task-2"]

    floor.client.hincrby("{dispatch}:l:task-1", "away", -100_000)
    backdate(floor, "task-1", 100)
    assert await floor.dispatch.renew(worker, LEASE_MS, [floor.held("task-1")]) == []
    assert floor.running() == 1
    await floor.dispatch.resume("task-1", 1)
    assert floor.running() == 2
    await floor.finish("task-1", worker=worker)
    assert floor.virtual_time("acme") < 10


async def test_a_pause_of_another_attempt(floor: Floor) -> None:
    """Only the attempt that runs can wait for a human, and only one that waits goes on."""
    await begun(floor, "task-1")
    await floor.dispatch.pause("task-1", 2)
    assert floor.running() == 1
    await floor.dispatch.resume("task-1", 1)
    assert floor.running() == 1


async def test_a_paused_run_whose_worker_dies(floor: Floor) -> None:
    """It is handed on like any other."""
    await begun(floor, "task-1", lease_ms=PAST_MS)
    await floor.dispatch.pause("task-1", 1)
    assert await overdue(floor) == ["task-1"]
