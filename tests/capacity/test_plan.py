"""From a load to machines: sums by hand, and what has to hold of any load."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.capacity.costs import NAMES, Costs, costs_of, known_figures
from orchestrator.capacity.load import Load
from orchestrator.capacity.plan import Plan, plan_of
from orchestrator.capacity.rates import rates_of

KNOWN = costs_of(known_figures())
SMALL = Load(sockets=1_000, events_per_second=500, tenants=10)

LOADS = st.builds(
    Load,
    sockets=st.integers(1, 20_000_000),
    events_per_second=st.floats(0, 2_000_000),
    events_per_message=st.floats(1, 1_000),
    tenants=st.integers(1, 100_000),
    answer_seconds=st.floats(0.1, 600),
    session_seconds=st.floats(10, 86_400),
    headroom=st.floats(0, 0.9),
    processes_per_tenant=st.integers(0, 8),
    dispatched=st.booleans(),
)


def planned(load: Load = SMALL, **members: Any) -> Plan:
    """The plan for a load with these members, by the costs of the package."""
    return plan_of(msgspec.structs.replace(load, **members), KNOWN)


def test_a_plan_by_hand() -> None:
    """Round costs and a round load: each number can be worked out on paper."""
    costs = Costs(**dict.fromkeys(NAMES, 10.0))
    load = Load(
        sockets=300_000,
        events_per_second=100_000,
        events_per_message=50,
        tenants=10,
        bytes_per_event=1_250,
        bytes_per_answer=90,
        answer_seconds=5,
        session_seconds=3_000,
        resume_seconds=3_000,
        ledger_seconds=995,
        deploy_seconds=100,
        wait_seconds=0.001,
        headroom=0.5,
        cores=2,
        memory_gib=1,
    )
    plan = plan_of(load, costs)

    # A batch is 10 000 events/s of a tenant × 1 ms = 10, so there are 10 000 calls/s. CPU: events 1.0 s, calls 0.1,
    # 2 000 messages 0.02, 10 000 pings 0.1, checks 300 000 / 40 + 2 000 × 5 / 2 = 12 500: 0.125; in all 1.345 s/s,
    # which takes 3 halves of a core. Memory: 300 000 × 10 KiB into 502 MiB takes 6. In 6 processes each tenant has
    # sockets, so hearing is 10 000 × 6 × 10 µs = 0.6 s/s: with it CPU takes 4.
    assert plan.need("processes of the service") == 6
    assert plan.need("machines of the service") == 3
    assert plan.need("sockets of a process") == 50_000
    assert plan.need("deployments") == 1
    # Events 100 000 × 20 µs = 2 s/s, calls 10 000 × (10 + 6 × 10) = 0.7, messages 2 000 × 10 = 0.02, the dispatch 0.02,
    # checks 0.125, 3 000 connects 0.03: 2.895 s/s of half a core each; 6 Gbit/s of 5 ask for 2 lines.
    assert plan.need("primaries of Valkey") == 6
    # 600 000 sessions of 10 B with 1 000 events of 10 B each; 2 000 × 1 000 ledgers of 100 B.
    assert plan.need("memory of Valkey") == 600_000 * 10 + 600_000 * 1_000 * 10 + 2_000_000 * 100
    assert plan.need("line to clients") == pytest.approx(1)
    assert plan.need("line from Valkey") == pytest.approx(6)
    assert plan.need("queries of Postgres") == pytest.approx(10 / 300)
    # The dispatch takes 0.02 s/s of half a core; hearing 0.1 of a sixth.
    uses = {ceiling.name: ceiling.use for ceiling in plan.ceilings}
    assert uses["hearing announcements"] == pytest.approx(0.6)
    assert uses["the fair dispatch"] == pytest.approx(0.04)
    assert uses["one tenant"] == pytest.approx((2 + 0.7 + 0.02) / 10 / 0.5)
    assert plan.bottleneck.name == "hearing announcements"


@given(LOADS)
def test_more_is_never_less(load: Load) -> None:
    """Twice the sockets, or twice the events, takes no fewer processes, no less memory and no narrower line."""
    plan = planned(load)
    for more in (
        planned(load, sockets=load.sockets * 2),
        planned(load, events_per_second=load.events_per_second * 2),
    ):
        for name in (
            "processes of the service",
            "machines of the service",
            "memory of Valkey",
            "line to clients",
        ):
            assert more.need(name) >= plan.need(name) * 0.999_999, name
    assert planned(load, events_per_second=load.events_per_second * 2).need("deployments") >= plan.need(
        "deployments"
    )


@given(LOADS)
def test_what_is_freed_takes_more(load: Load) -> None:
    """More headroom takes no fewer processes and primaries."""
    plan, freer = planned(load), planned(load, headroom=load.headroom + 0.05)
    assert freer.need("processes of the service") >= plan.need("processes of the service")


@given(LOADS)
def test_what_is_kept_longer_takes_more(load: Load) -> None:
    """Ledgers, logs and sessions that are kept longer take no less memory, and no fewer primaries."""
    plan = planned(load)
    for more in (
        planned(load, ledger_seconds=load.ledger_seconds * 2),
        planned(load, resume_seconds=load.resume_seconds * 2),
    ):
        assert more.need("memory of Valkey") >= plan.need("memory of Valkey")
        assert more.need("primaries of Valkey") >= plan.need("primaries of Valkey")


@given(LOADS)
def test_every_plan_is_whole(load: Load) -> None:
    """At least one of each, as many primaries as deployments, and the nearest of the ceilings is the bottleneck."""
    plan = planned(load)
    assert plan.need("processes of the service") >= plan.need("deployments") >= 1
    assert plan.need("primaries of Valkey") >= plan.need("deployments")
    assert plan.bottleneck.use == max(ceiling.use for ceiling in plan.ceilings)
    assert all(need.because and need.shown for need in plan.needs)


@given(LOADS, st.sampled_from(sorted({*NAMES} - {"valkey_us_per_claim"})), st.floats(1, 4))
def test_what_costs_more_takes_more(load: Load, name: str, times: float) -> None:
    """No cost that rises makes a plan smaller, but of the dispatch: in more deployments a process hears less."""
    dearer = msgspec.structs.replace(KNOWN, **{name: getattr(KNOWN, name) * times})
    plan, more = plan_of(load, KNOWN), plan_of(load, dearer)
    assert more.need("processes of the service") >= plan.need("processes of the service")
    assert more.need("memory of Valkey") >= plan.need("memory of Valkey")


def test_a_small_load_needs_one_of_each() -> None:
    """A thousand sockets fit into one process beside one Valkey."""
    plan = planned()
    assert (
        plan.need("deployments")
        == plan.need("processes of the service")
        == plan.need("primaries of Valkey")
        == 1
    )


def test_sockets_of_a_tenant_kept_together_are_heard_by_fewer() -> None:
    """Where a balancer keeps them on two processes, announcements go to two."""
    many = msgspec.structs.replace(SMALL, sockets=10_000_000)
    anywhere, together = planned(many), planned(many, processes_per_tenant=2)
    assert together.need("line from Valkey") == pytest.approx(500 * 300 * 8 / 1e9 * 2)
    assert together.need("line from Valkey") < anywhere.need("line from Valkey") / 4


def test_each_primary_has_listeners_of_its_own() -> None:
    """Where taking callbacks asks for most, it asks for more primaries, not for deployments."""
    load = msgspec.structs.replace(SMALL, events_per_second=200_000, dispatched=False, processes_per_tenant=1)
    dear = msgspec.structs.replace(KNOWN, service_us_per_call=50_000)
    plan = plan_of(load, dear)
    # A call takes what it costs of four listeners, of each a third of 0.6 of a core.
    assert plan.need("primaries of Valkey") == math.ceil(rates_of(load).calls * 0.05 / (4 * 0.6 / 3))
    assert plan.need("deployments") == 1


def test_plain_agents_ask_nothing_of_the_dispatch() -> None:
    """Without workers of the SDK that ceiling is not used."""
    uses = {ceiling.name: ceiling.use for ceiling in planned(dispatched=False).ceilings}
    assert uses["the fair dispatch"] == 0


def test_messages_count_by_themselves() -> None:
    """Their rate follows from the events unless it is given."""
    assert planned(messages_per_second=10) == planned()
    assert planned(messages_per_second=1_000).need("memory of Valkey") > 50 * planned().need(
        "memory of Valkey"
    )


def test_memory_that_holds_nothing_is_refused() -> None:
    """Where not one socket fits there is no plan."""
    with pytest.raises(ValueError, match="no socket fits"):
        planned(memory_gib=0.01)
