"""No call of a worker keeps the server for long, however much the worker has, and however much others wait for."""

from collections.abc import Callable

import pytest
from tests.broker.floor import LEASE_MS, Floor

from orchestrator.broker.connection import Refused, Reply, ReplyLost, Unavailable
from orchestrator.broker.dispatch import (
    CLAIMED_AT_ONCE,
    FINISHED_AT_ONCE,
    RENEWED_AT_ONCE,
    Dispatch,
    RunScript,
)


def watched(floor: Floor, before: Callable[[str, int], None]) -> Dispatch:
    """The dispatch, and who is told of each call: the script and how often it was called."""
    calls: dict[str, int] = {}
    run: RunScript = floor.broker.run

    async def told(script: str, key: str, *rest: str | bytes | int) -> Reply:
        calls[script] = calls.get(script, 0) + 1
        before(script, calls[script])
        return await run(script, key, *rest)

    return Dispatch(told)


def calls_of(floor: Floor, command: str) -> int:
    """How often a command has run."""
    return int(floor.client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.mark.parametrize(("waiting", "calls"), [(150, 3), (2 * CLAIMED_AT_ONCE, 3), (3, 1), (0, 1)])
async def test_a_big_claim_goes_step_by_step(floor: Floor, waiting: int, calls: int) -> None:
    """A worker with hundreds of slots gets all that waits, in calls of a few."""
    seen: list[str] = []
    dispatch = watched(floor, lambda script, _: seen.append(script))
    await floor.worker("w1")
    await floor.wait(*(f"task-{number}" for number in range(waiting)))
    assert len(await dispatch.claim("w1", LEASE_MS, 500)) == waiting
    assert seen == ["claim"] * calls
    assert floor.client.sismember("{dispatch}:idle", "w1")


async def test_a_claim_of_very_many(floor: Floor) -> None:
    """A worker gets as many as it asks for, however many steps that takes."""
    await floor.worker("w1")
    await floor.wait(*(f"task-{number}" for number in range(1_500)))
    assert len(await floor.claim("w1", 1_400)) == 1_400


@pytest.mark.parametrize("error", [Unavailable("away"), ReplyLost("gone"), Refused("ERR no")], ids=repr)
async def test_what_was_claimed_before_an_error_counts(floor: Floor, error: Exception) -> None:
    """The attempts of the first step are the worker's, whatever becomes of the second."""

    def fail(_: str, number: int) -> None:
        if number == 2:
            raise error

    await floor.worker("w1")
    await floor.wait(*(f"task-{number}" for number in range(100)))
    assert len(await watched(floor, fail).claim("w1", LEASE_MS, 100)) == CLAIMED_AT_ONCE


async def test_an_error_of_the_first_step_is_one(floor: Floor) -> None:
    """Where nothing was claimed the worker hears why."""

    def fail(_: str, __: int) -> None:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await watched(floor, fail).claim("w1", LEASE_MS, 100)


@pytest.mark.parametrize(("held", "calls"), [(0, 1), (RENEWED_AT_ONCE, 1), (RENEWED_AT_ONCE + 50, 2)])
async def test_renewals_go_in_slices(floor: Floor, held: int, calls: int) -> None:
    """Whoever has hundreds of runs renews some at a time, and hears of each that it lost."""
    seen: list[str] = []
    dispatch = watched(floor, lambda script, _: seen.append(script))
    tasks = [f"task-{number}" for number in range(held)]
    await floor.worker("w1")
    await floor.wait(*tasks)
    await floor.claim("w1", held)
    lost = [floor.held(task) for task in tasks[::60]]
    await floor.finish(*(one.task for one in lost))
    assert await dispatch.renew("w1", LEASE_MS, [floor.held(task) for task in tasks]) == lost
    assert seen == ["renew"] * calls


async def test_endings_go_in_slices(floor: Floor) -> None:
    """However many attempts end together, a call looks at some, and none is left with its place."""
    seen: list[str] = []
    tasks = [f"task-{number}" for number in range(FINISHED_AT_ONCE + 1)]
    await floor.worker("w1")
    await floor.wait(*tasks)
    assert await floor.claim("w1", len(tasks)) == tasks
    dispatch = watched(floor, lambda script, _: seen.append(script))
    await dispatch.finish([(task, 1) for task in tasks], "w1")
    assert seen == ["finish"] * 2
    assert not floor.client.keys("{dispatch}:run:*")


async def test_contexts_behind_those_of_others(floor: Floor) -> None:
    """A worker whose 300 contexts lie behind those of other workers seeks them a few times, not with each claim."""
    foreign = [f"agent-{number:03}" for number in range(30)]
    own = [f"own-{number:03}" for number in range(300)]
    worker = await floor.worker("w1", *own)
    await floor.worker("w2", *foreign, *own)
    for number, context in enumerate((*foreign, *own)):
        await floor.wait(f"task-{context}", context=context, tenant=f"t{number:03}")
    before = calls_of(floor, "zinter")
    assert await floor.claim(worker, 200) == [f"task-{context}" for context in own[:200]]
    assert calls_of(floor, "zinter") - before <= 4 * 3  # a few in each of four calls


async def test_a_tenant_that_waits_in_many_contexts(floor: Floor) -> None:
    """Where it waits longest for other workers its next context is sought once in a call, and all get their turns."""
    foreign = [f"agent-{number:03}" for number in range(30)]
    own = [f"own-{number:03}" for number in range(40)]
    worker = await floor.worker("w1", *own)
    await floor.worker("w2", *foreign, *own)
    for context in (*foreign, *own):
        await floor.wait(f"{context}-1", f"{context}-2", context=context)
    floor.client.zadd("{dispatch}:where:orchestrator:acme:callbacks", dict.fromkeys(foreign, 1))
    before = calls_of(floor, "zinter")
    got = await floor.claim(worker, 80)
    assert got[:40] == [f"{context}-1" for context in own]
    assert sorted(got) == sorted(f"{context}-{number}" for context in own for number in (1, 2))
    assert calls_of(floor, "zinter") - before <= 8
