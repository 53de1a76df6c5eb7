"""admit.lua: every answer it can give, and what is there afterwards (DESIGN §2, contract §3 and §7)."""

from typing import Any

import pytest
from tests.broker.tenant import AGENT, QUEUE, SECOND, Tenant, callback

from orchestrator.broker.access_cache import AccessCache, ContextAnswer
from orchestrator.protocol.position import parse_position


async def test_accepted_is_recorded(tenant: Tenant) -> None:
    """An accepted task has its record, its deadline, its place, its payload and a first event."""
    reply = await tenant.admit(b'{"payload":1}', timeout=30)
    record = await tenant.record(reply.task)

    assert (reply.outcome, reply.queue) == ("accepted", QUEUE)
    assert record["status"] == b"accepted"
    assert record["payload"] == b'{"payload":1}'
    assert record["before"].decode() == reply.position
    assert tenant.client.zscore(tenant.key("outstanding"), reply.task) == float(record["deadline"])
    assert tenant.client.zscore(tenant.key("unpushed"), reply.task) == float(record["accepted_at"])
    assert tenant.client.hget(tenant.key("tenant"), "bytes") == b"13"
    assert [(f["type"], f["data"]) for f in await tenant.frames()] == [
        ("task_update", {"status": "queued", "attempt": 1})
    ]


async def test_position_is_before_the_task(tenant: Tenant) -> None:
    """A socket that resumes at the answer's position gets the task from its first event."""
    await tenant.task()
    reply = await tenant.admit()
    position = parse_position(reply.position)
    assert position is not None

    assert [frame["task_id"] for frame in await tenant.frames(position)] == [reply.task]


async def test_resend_finds_its_first_answer(tenant: Tenant) -> None:
    """The same task id asked again, after a lost reply, changes nothing and answers the same."""
    request = tenant.request(per_minute=60, burst=5)
    first = await tenant.admissions.admit(tenant.name, request, b"{}")
    kept = tenant.dump()
    again = await tenant.admissions.admit(tenant.name, request, b"{}")

    assert (again.outcome, again.task, again.position, again.created) == (
        "accepted", first.task, first.position, first.created,
    )  # fmt: skip
    assert tenant.dump() == kept


async def test_resend_of_an_ended_task_finds_its_first_answer(tenant: Tenant) -> None:
    """Also when the task has ended meanwhile, and when the resend itself comes late."""
    request = tenant.request()
    first = await tenant.admissions.admit(tenant.name, request, b"{}")
    await tenant.deliver(callback(request.task, "completed", {"response": "ok"}))
    late = tenant.request(task=request.task, not_after=1)
    again = await tenant.admissions.admit(tenant.name, late, b"{}")

    assert (again.outcome, again.position) == ("accepted", first.position)


async def test_replayed(tenant: Tenant) -> None:
    """The same Idempotency-Key and fingerprint give the first answer, and cost no quota."""
    limits: dict[str, Any] = {"session_limit": 1, "per_minute": 60, "burst": 5}
    first = await tenant.admit(idempotency="k", fingerprint="f", **limits)
    kept = tenant.dump()
    again = await tenant.admit(idempotency="k", fingerprint="f", **limits)

    assert (again.outcome, again.task, again.position, again.created, again.queue) == (
        "replayed", first.task, first.position, first.created, QUEUE,
    )  # fmt: skip
    assert tenant.dump() == kept


async def test_conflict(tenant: Tenant) -> None:
    """The same key with another fingerprint is refused; in another session it is another key."""
    await tenant.task(idempotency="k", fingerprint="f")
    kept = tenant.dump()

    assert (await tenant.admit(idempotency="k", fingerprint="g")).outcome == "conflict"
    assert tenant.dump() == kept
    assert (await tenant.admit(idempotency="k", fingerprint="g", session="sess-2")).outcome == "accepted"


async def test_session_denied(tenant: Tenant) -> None:
    """A session belongs to its first named user; who names nobody is let in and takes nothing over."""
    await tenant.task()
    await tenant.task(user="ana")
    kept = tenant.dump()

    assert (await tenant.admit(user="bob")).outcome == "session_denied"
    assert tenant.dump() == kept
    assert (await tenant.admit(user="")).outcome == "accepted"
    assert tenant.client.hget(tenant.key("session:sess-1"), "owner") == b"ana"


async def test_session_denied_before_its_keys(tenant: Tenant) -> None:
    """Nobody learns whether a key was used in a foreign session, nor gets the answer that it gave there."""
    await tenant.task(user="ana", idempotency="k", fingerprint="f")
    kept = tenant.dump()
    for key, fingerprint in (("k", "f"), ("k", "g"), ("new", "f")):
        reply = await tenant.admit(user="bob", idempotency=key, fingerprint=fingerprint)
        assert (reply.outcome, reply.task, reply.position) == ("session_denied", "", "")
    assert tenant.dump() == kept


async def test_ask(tenant: Tenant) -> None:
    """Without a cached answer somebody has to ask the database, from the generation that is told."""
    reply = await tenant.admit(validate=True)
    assert (reply.outcome, reply.detail) == ("ask", "0")
    assert not tenant.dump()


@pytest.mark.parametrize(
    ("tier", "granted", "outcome", "detail"),
    [
        ("free", True, "accepted", ""),
        ("", True, "access_denied", "@"),
        ("free", False, "access_denied", AGENT),
        ("enterprise", True, "tier_mismatch", "free"),
    ],
)
async def test_access(tenant: Tenant, tier: str, granted: bool, outcome: str, detail: str) -> None:
    """A cached answer decides: no such tenant, a context that is not its own, another tier than claimed."""
    await AccessCache(tenant.broker, 300).remember(
        tenant.name, "0", tier, {}, {AGENT: ContextAnswer(granted)}
    )
    reply = await tenant.admit(validate=True)
    assert (reply.outcome, reply.detail) == (outcome, detail)
    assert bool(tenant.client.exists(tenant.key("outstanding"))) == (outcome == "accepted")


@pytest.mark.parametrize(
    ("limits", "outcome", "detail"),
    [
        ({"session_limit": 1}, "rate_limited", "session"),
        ({"per_minute": 60, "burst": 1}, "rate_limited", "tenant"),
        ({"max_outstanding": 1}, "queue_full", "count"),
        ({"max_outstanding_bytes": 3}, "queue_full", "bytes"),
    ],
)
async def test_limits_refuse_with_nothing_done(
    tenant: Tenant, limits: dict[str, Any], outcome: str, detail: str
) -> None:
    """Whatever limit is reached, the refusal says which and when to come again, and changes nothing."""
    await tenant.task(**limits)
    kept = tenant.dump()
    reply = await tenant.admit(**limits)

    assert (reply.outcome, reply.detail) == (outcome, detail)
    assert reply.retry_after > 0
    assert tenant.dump() == kept


async def test_late(tenant: Tenant) -> None:
    """A call that a stalled server runs after `not_after` accepts nothing: its client was told so."""
    now = tenant.broker.clock.now()
    assert (await tenant.admit(not_after=now - SECOND)).outcome == "late"
    assert not tenant.dump()


async def test_tenants_and_sessions_are_apart(tenant: Tenant) -> None:
    """The same session id under two tenants is two sessions, with logs, limits and owners of their own."""
    other = tenant.another("globex")
    await tenant.task(user="ana", session_limit=1)
    kept = tenant.dump()
    task = await other.task(user="bob", session_limit=1)
    await tenant.task(session="sess-2")

    assert [frame["task_id"] for frame in await other.frames()] == [task]
    assert [frame["task_id"] for frame in await tenant.frames()] == ["task-acme-1"]
    assert await other.tasks.record(other.name, "task-acme-1") is None
    assert {key: tenant.dump()[key] for key in kept if b"sess-1" in key or b"task:" in key} == {
        key: kept[key] for key in kept if b"sess-1" in key or b"task:" in key
    }


async def test_newest_thousand_tasks_are_listed(tenant: Tenant) -> None:
    """A session lists its newest 1 000 tasks and no more."""
    listed = tenant.key("tasks:sess-1")
    tenant.client.zadd(listed, {f"task-old-{n}": n for n in range(1_200)})
    task = await tenant.task()

    assert tenant.client.zcard(listed) == 1_000
    assert tenant.client.zrevrange(listed, 0, 0) == [task.encode()]


async def test_lists_live_as_long_as_their_last_task(tenant: Tenant) -> None:
    """A later deadline moves the end of what lists a tenant's tasks; an earlier one leaves it."""
    ends: list[list[int]] = []
    for timeout in (300, 600, 60):
        await tenant.admit(timeout=timeout)
        lists = [tenant.key(name) for name in ("outstanding", "unpushed", "tasks:sess-1")]
        ends.append([tenant.client.pexpiretime(name) for name in lists])
    first, later, last = ends
    assert later == last
    assert all(290_000 < after - before < 400_000 for before, after in zip(first, later, strict=True))
