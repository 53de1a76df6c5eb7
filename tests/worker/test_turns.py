"""Whose queue a worker looks at first."""

from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.broker.keys import execution_queue
from orchestrator.protocol.tiers import DEFAULT_LIMITS, TIERS, Tier
from orchestrator.worker.claims import Turns

Backlog = Mapping[tuple[str, Tier], int]


def served(turns: Turns, backlog: Backlog, rounds: int) -> list[tuple[str, Tier]]:
    """Takes `rounds` tasks as BRPOP would: from the first queue that has one."""
    left = Counter(dict(backlog))
    places = {execution_queue(*place): place for place in backlog}
    order: list[tuple[str, Tier]] = []
    for _ in range(rounds):
        place = next((places[q] for q in turns.queues() if left[places[q]]), None)
        if place is None:
            break
        left[place] -= 1
        turns.took(*place)
        order.append(place)
    return order


def backlog(contexts: int, tasks: Mapping[Tier, int]) -> Backlog:
    """So many tasks of each tier for each context."""
    return {(f"agent-{n}", tier): tasks.get(tier, 0) for n in range(contexts) for tier in TIERS}


def test_tiers_share_by_weight() -> None:
    """With work everywhere, 150 tasks are 80, 40, 20 and 10 of the four tiers."""
    order = served(Turns(["agent-0"]), backlog(1, dict.fromkeys(TIERS, 1000)), 150)

    assert Counter(tier for _, tier in order) == {
        "enterprise": 80,
        "professional": 40,
        "advance": 20,
        "free": 10,
    }


def test_idle_tiers_leave_their_share_to_the_others_by_weight() -> None:
    """Where only two tiers have work, they share it 4 : 1, not by who stands next in the row."""
    order = served(Turns(["agent-0"]), backlog(1, {"professional": 1000, "free": 1000}), 100)

    assert Counter(tier for _, tier in order) == {"professional": 80, "free": 20}


def test_an_idle_tier_saves_no_turns() -> None:
    """A tier that was idle for long gets its share from now on, not what it missed."""
    turns = Turns(["agent-0"])
    served(turns, backlog(1, {"free": 1000}), 1000)

    order = served(turns, backlog(1, {"free": 1000, "advance": 1000}), 30)

    assert Counter(tier for _, tier in order)["free"] >= 9


def test_contexts_of_a_tier_take_turns() -> None:
    """One busy agent does not keep another one of the same worker waiting."""
    order = served(Turns(["agent-0", "agent-1"]), backlog(2, {"free": 100}), 10)

    assert [context for context, _ in order] == ["agent-0", "agent-1"] * 5


@given(st.lists(st.sampled_from(TIERS), max_size=60), st.sampled_from(TIERS))
def test_nobody_starves(past: list[Tier], tier: Tier) -> None:
    """Whatever was served before, a waiting tier gets its turn within a round of all weights."""
    turns = Turns(["agent-0"])
    for busy in past:
        turns.took("agent-0", busy)
    order = served(
        turns, backlog(1, dict.fromkeys(TIERS, 1000)), 2 * sum(x.weight for x in DEFAULT_LIMITS.values())
    )

    assert tier in {served_tier for _, served_tier in order}


def test_every_queue_is_looked_at() -> None:
    """All four tiers of each context are watched."""
    turns = Turns(["agent-0", "workflow-1"])

    assert sorted(turns.queues()) == sorted(
        execution_queue(context, tier) for context in ("agent-0", "workflow-1") for tier in TIERS
    )
