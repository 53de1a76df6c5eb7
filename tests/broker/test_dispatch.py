"""ready.lua and claim.lua: who waits gets a place, and is claimed in its turn (docs/fairness.md)."""

import pytest
from tests.broker.floor import PAST_MS, Floor, home

from orchestrator.broker.dispatch import Waiting


async def test_claimed_with_all_it_takes_to_run(floor: Floor) -> None:
    """A claim tells task, attempt, context, tier and tenant: enough to take the element and to renew."""
    worker = await floor.worker("w1")
    await floor.dispatch.ready([Waiting("task-1", 2, "agent-1", "professional", home("acme"))])
    (claimed,) = await floor.dispatch.claim(worker, 60_000, 1)

    assert (claimed.task, claimed.attempt, claimed.context) == ("task-1", 2, "agent-1")
    assert (claimed.tier, claimed.home) == ("professional", home("acme"))


async def test_claimed_once(floor: Floor) -> None:
    """What one worker has nobody else gets; a repeated announcement changes nothing."""
    await floor.worker("w1")
    await floor.worker("w2")
    assert await floor.wait("task-1") == 1
    assert await floor.wait("task-1") == 0
    assert await floor.claim("w1", 5) == ["task-1"]
    assert await floor.wait("task-1") == 0
    assert await floor.claim("w2", 5) == []


async def test_first_come_first_served_within_a_tenant(floor: Floor) -> None:
    """Tasks of one tenant and context are claimed in the order in which they came, a repeated one before them."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", "task-2", "task-3")
    await floor.wait("task-9", attempt=2)
    assert await floor.claim(worker, 9) == ["task-9", "task-1", "task-2", "task-3"]


async def test_no_more_than_asked_for(floor: Floor) -> None:
    """A worker gets as many as it has slots."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", "task-2", "task-3")
    assert await floor.claim(worker, 2) == ["task-1", "task-2"]


async def test_only_what_it_serves(floor: Floor) -> None:
    """A worker gets no task of a context that it has not registered, however many others wait before its own."""
    worker = await floor.worker("w1", "agent-1", "agent-2")
    await floor.worker("w2", *(f"agent-{number}" for number in range(1, 41)))
    for number in range(3, 41):
        await floor.wait(f"task-{number}", context=f"agent-{number}", tenant=f"t{number}")
    assert await floor.claim(worker, 9) == []
    await floor.wait("task-2", context="agent-2", tenant="zoe")
    assert await floor.claim(worker, 9) == ["task-2"]


async def test_an_unknown_worker_gets_nothing(floor: Floor) -> None:
    """Who has not registered, or was forgotten, claims nothing and changes nothing."""
    await floor.wait("task-1")
    before = sorted(floor.client.keys())
    assert await floor.claim("nobody", 9) == []
    assert sorted(floor.client.keys()) == before


async def test_a_later_attempt_replaces_the_earlier(floor: Floor) -> None:
    """Only the newest attempt is claimed, and an earlier one that comes late is none."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.wait("task-1", attempt=2)
    assert await floor.wait("task-1") == 0
    (claimed,) = await floor.dispatch.claim(worker, 60_000, 9)
    assert claimed.attempt == 2


async def test_a_later_attempt_ends_the_lease_of_the_earlier(floor: Floor) -> None:
    """The place of the lost run is free at once, and the next attempt may be claimed."""
    worker = await floor.worker("w1")
    await floor.wait("task-1", cap=1)
    await floor.claim(worker)
    await floor.wait("task-1", attempt=2, cap=1)
    assert floor.running() == 0
    assert await floor.claim(worker) == ["task-1"]


async def test_announced_again_after_its_end(floor: Floor) -> None:
    """An attempt with two entries, since it had ended in between, is claimed once."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.finish("task-1")
    await floor.wait("task-1")
    assert await floor.claim(worker, 9) == ["task-1"]


@pytest.mark.parametrize(("lease_ms", "again"), [(PAST_MS, ["task-1"]), (60_000, [])], ids=["over", "live"])
async def test_a_claim_whose_answer_was_lost(floor: Floor, lease_ms: int, again: list[str]) -> None:
    """An attempt that still lies in its queue after its lease gets its place back, not one with a lease."""
    worker = await floor.worker("w1")
    await floor.wait("task-1")
    await floor.claim(worker, 1, lease_ms)
    await floor.wait("task-1")
    assert await floor.claim(worker) == again


async def test_how_many_are_known(floor: Floor) -> None:
    """What waits is counted for each queue; what is claimed or has ended is not."""
    worker = await floor.worker("w1", "agent-1", "agent-2")
    await floor.wait("task-1", "task-2", "task-3")
    await floor.wait("task-4", context="agent-2")
    await floor.claim(worker)
    await floor.finish("task-3", "task-4")
    assert await floor.dispatch.known([("agent-1", "free"), ("agent-2", "free"), ("agent-1", "advance")]) == [
        1, 0, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("many", [1, 10_000])
async def test_empty_contexts_cost_nothing(floor: Floor, many: int) -> None:
    """A claim does the same whether a worker serves one context or 10 000 in which nothing waits."""
    worker = await floor.worker("w1", *(f"agent-{number}" for number in range(many)))
    await floor.wait("task-1", context="agent-0")
    before = floor.commands()
    assert await floor.claim(worker, 1) == ["task-1"]
    assert await floor.claim(worker, 1) == []
    assert floor.commands() - before < 60


async def test_a_flood_over_many_contexts_costs_no_more(floor: Floor) -> None:
    """A claim looks at tenants, not at each of the contexts that one of them floods."""
    contexts = [f"agent-{number}" for number in range(500)]
    worker = await floor.worker("w1", *contexts)
    for context in contexts:
        await floor.wait(f"task-{context}-1", f"task-{context}-2", context=context, tenant="flood")
    await floor.claim(worker, 100)
    before = floor.commands()
    assert len(await floor.claim(worker, 10)) == 10
    assert floor.commands() - before < 10 * 60


async def test_more_to_pass_over_than_one_step_may(floor: Floor) -> None:
    """Where 1 500 tasks have ended without being claimed a claim goes on until it finds the one that has not."""
    worker = await floor.worker("w1")
    tasks = [f"task-{number}" for number in range(1_500)]
    await floor.wait(*tasks)
    await floor.finish(*tasks[:-1])
    assert await floor.claim(worker, 1) == tasks[-1:]
