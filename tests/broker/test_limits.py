"""The limits of a send, in the scripts' own arithmetic (contract §7, mechanics of clocks)."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.broker.tenant import AGENT, KEEPING, SECOND, Tenant, raw_client

from orchestrator.broker.access_cache import AccessCache, ContextAnswer
from orchestrator.broker.admissions import LimitState
from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

HOUR = 3_600 * SECOND
# Seconds ago; most of what matters happens where an hour ends.
STATE: Final[dict[str, Any]] = {"session": "sess-1", "session_limit": 100, "per_minute": 60, "burst": 6}
AGES = st.integers(0, 2 * 3_600) | st.integers(3_570, 3_630)


async def test_state_of_both_limits(tenant: Tenant) -> None:
    """An answer tells what is left of the hour and of the minute, and when each is full again."""
    first = await tenant.admit(session_limit=100, per_minute=60, burst=6)
    second = await tenant.admit(session_limit=100, per_minute=60, burst=6)

    assert (first.s, first.t) == (LimitState(100, 99, 3600), LimitState(60, 5, 1))
    assert (second.s, second.t) == (LimitState(100, 98, 3600), LimitState(60, 4, 2))


async def test_state_without_a_send(tenant: Tenant) -> None:
    """The state can be told without a send: nothing is spent by that, and the tenant's own limits show."""
    await tenant.task(session_limit=100, per_minute=60, burst=6)
    kept = tenant.dump()
    asked: dict[str, Any] = {**STATE, "user": ""}
    reply = await tenant.admissions.limit_state(tenant.name, **asked)
    assert (reply.s, reply.t) == (LimitState(100, 99, 3600), LimitState(60, 5, 1))
    assert tenant.dump() == kept
    await AccessCache(tenant.broker, 300).remember(tenant.name, "0", "free", {"requests_per_minute": 600}, {})
    reply = await tenant.admissions.limit_state(tenant.name, **asked)
    assert reply.t is not None
    assert reply.t.limit == 600


async def test_state_of_a_foreign_session(tenant: Tenant) -> None:
    """Another user of the tenant is told the tenant's limit and nothing of the session's, sent or refused early."""
    await tenant.task(user="ana", session_limit=100)
    for reply in (
        await tenant.admissions.limit_state(tenant.name, user="bob", **STATE),
        await tenant.admit(user="bob", session_limit=100, per_minute=60, burst=6),
        await tenant.admit(user="bob", session_limit=1, per_minute=60, burst=6),
    ):
        assert (reply.s, reply.t and reply.t.limit, reply.retry_after) == (None, 60, 0)
    for user in ("ana", ""):
        own = await tenant.admissions.limit_state(tenant.name, user=user, **STATE)
        assert own.s == LimitState(100, 99, 3600)


async def test_no_session_limit(tenant: Tenant) -> None:
    """A limit of 0 is none: it is neither told nor counted."""
    reply = await tenant.admit(session_limit=0)
    assert reply.s is None
    assert not tenant.client.exists(tenant.key("rate:sess-1"))


async def test_burst_and_wait(tenant: Tenant) -> None:
    """A burst passes at once; the next one is told to wait for one interval at most."""
    replies = [await tenant.admit(per_minute=6, burst=5) for _ in range(6)]
    assert [reply.outcome for reply in replies] == ["accepted"] * 5 + ["rate_limited"]
    assert 9 < replies[-1].retry_after <= 10


async def test_clock_that_stepped_back(tenant: Tenant) -> None:
    """After a failover to a slower clock the arrival time lies far ahead: it counts as one full burst, no more."""
    await tenant.task(per_minute=60, burst=5)
    ahead = tenant.broker.clock.now() + HOUR
    tenant.client.hset(tenant.key("tenant"), "arrival", ahead)
    reply = await tenant.admit(per_minute=60, burst=5)

    assert reply.outcome == "rate_limited"
    assert reply.retry_after <= 1
    assert reply.t is not None
    assert reply.t.reset_seconds <= 5


async def test_tenants_own_limits_go_first(tenant: Tenant) -> None:
    """Limits kept with the tenant's access answer override its tier's."""
    own = {"requests_per_minute": 6, "max_outstanding": 2}
    await AccessCache(tenant.broker, 300).remember(
        tenant.name, "0", "free", own, {AGENT: ContextAnswer(True)}
    )
    replies = [await tenant.admit(validate=True, per_minute=6_000, burst=600) for _ in range(3)]

    assert [reply.outcome for reply in replies] == ["accepted", "accepted", "queue_full"]
    assert replies[0].t is not None
    assert (replies[0].t.limit, replies[0].t.left) == (6, 4)


async def test_bytes_of_ended_tasks_are_given_back(tenant: Tenant) -> None:
    """The byte limit counts what is outstanding: a task that ended makes room."""
    task = (await tenant.admit(b"x" * 60, max_outstanding_bytes=100)).task
    assert (await tenant.admit(b"x" * 60, max_outstanding_bytes=100)).detail == "bytes"
    await tenant.tasks.cancel(tenant.name, task, "")
    assert (await tenant.admit(b"x" * 60, max_outstanding_bytes=100)).outcome == "accepted"


class Hour:
    """A tenant for the property test, with one event loop for all examples."""

    def __init__(self, runner: asyncio.Runner, tenant: Tenant) -> None:
        self.runner = runner
        self.tenant = tenant


@pytest.fixture
def hour(valkey: ValkeyServer) -> Iterator[Hour]:
    """A tenant on the plain server."""
    with asyncio.Runner() as runner, raw_client(valkey.port) as client:
        broker = Broker(valkey.url, Keys("orchestrator", "orchestrator"), KEEPING)
        runner.run(broker.__aenter__())
        yield Hour(runner, Tenant(broker, client))
        runner.run(broker.__aexit__())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(AGES, max_size=12), limit=st.integers(1, 6))
def test_no_hour_holds_more_than_the_limit(hour: Hour, ages: list[int], limit: int) -> None:
    """Whenever the earlier sends were, an accepted one never makes more than the limit within its hour.

    Time is passed by writing buckets as admit.lua does: a send joins the one that began less than a minute before.
    """
    tenant = hour.tenant
    tenant.client.flushall()
    now = tenant.broker.clock.now()
    buckets: dict[int, tuple[int, int]] = {}
    for age in sorted(ages, reverse=True):
        at = now - age * SECOND
        first = next((start for start in buckets if start * SECOND > at - 60 * SECOND), at // SECOND)
        buckets[first] = (buckets.get(first, (0, 0))[0] + 1, at)
    for start, (sends, last) in buckets.items():
        tenant.client.hset(tenant.key("rate:sess-1"), str(start), f"{sends}:{last}")
        tenant.client.expire(tenant.key("rate:sess-1"), 3_700)

    reply = hour.runner.run(tenant.admit(session_limit=limit))
    within = sum(1 for age in ages if age < 3_599)

    assert reply.outcome in {"accepted", "rate_limited"}
    if reply.outcome == "accepted":
        assert within < limit
    else:
        # A bucket counts in full until its last send is an hour old: a minute too strict at most.
        assert sum(1 for age in ages if age <= 3_661) >= limit
