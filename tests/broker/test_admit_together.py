"""admit.lua: sends that share a call are decided one behind the other, as if each had come alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.broker.tenant import Tenant

from orchestrator.broker.admissions import AdmitReply
from orchestrator.broker.connection import Refused


async def together(tenant: Tenant, *changes: dict[str, Any]) -> Sequence[Any]:
    """What becomes of several sends of one tick."""
    asked = [tenant.admit(b"{}", **each) for each in changes]
    return await asyncio.gather(*asked, return_exceptions=True)


def outcomes(replies: Sequence[AdmitReply]) -> list[tuple[str, str]]:
    """How each was decided."""
    return [(reply.outcome, reply.detail) for reply in replies]


async def test_all_are_recorded(tenant: Tenant) -> None:
    """Each has its record, its place and its event; in one session they come one behind the other."""
    replies = await together(tenant, {}, {}, {"session": "sess-2"})
    assert [reply.outcome for reply in replies] == ["accepted"] * 3
    assert {await tenant.status(reply.task) for reply in replies} == {"accepted"}
    assert tenant.client.zcard(tenant.key("outstanding")) == tenant.client.zcard(tenant.key("unpushed")) == 3
    assert tenant.client.hget(tenant.key("tenant"), "bytes") == b"6"
    assert [frame["task_id"] for frame in await tenant.frames()] == [reply.task for reply in replies[:2]]
    assert [frame["task_id"] for frame in await tenant.frames(session="sess-2")] == [replies[2].task]


async def test_limits_hold_among_them(tenant: Tenant) -> None:
    """Each limit counts those before it in the call."""
    for limits, detail in (
        ({"session_limit": 2}, "session"),
        ({"per_minute": 60, "burst": 2}, "tenant"),
        ({"max_outstanding": 2}, "count"),
        ({"max_outstanding_bytes": 4}, "bytes"),
    ):
        of = tenant.another(f"acme-{detail}")
        replies = await together(of, limits, limits, limits)
        assert [reply.outcome for reply in replies[:2]] == ["accepted"] * 2, detail
        assert replies[2].detail == detail
        assert of.client.zcard(of.key("outstanding")) == 2
        one_more = await of.admit(b"{}", **limits)
        assert one_more.detail == detail


async def test_limits_are_told_as_they_stand(tenant: Tenant) -> None:
    """Each answer tells what is left behind it."""
    replies = await together(tenant, *[{"session_limit": 9, "per_minute": 60, "burst": 6}] * 3)
    assert [(reply.s.left, reply.t.left) for reply in replies] == [(8, 5), (7, 4), (6, 3)]


async def test_a_key_is_used_once(tenant: Tenant) -> None:
    """Of two with one Idempotency-Key the second gets the first one's answer."""
    same = {"idempotency": "k", "fingerprint": "f"}
    first, again, other = await together(tenant, same, same, {"idempotency": "k", "fingerprint": "g"})
    assert (first.outcome, again.outcome, other.outcome) == ("accepted", "replayed", "conflict")
    assert again.task == first.task


async def test_turns_are_taken_among_them(tenant: Tenant) -> None:
    """One that waits its turn, or takes another's place, is decided with regard to those that it came with."""
    plain, held, busy = await together(tenant, {}, {"turn_policy": "queue"}, {"turn_policy": "reject"})
    assert (plain.outcome, plain.held) == ("accepted", False)
    assert (held.outcome, held.held) == ("accepted", True)
    assert busy.outcome == "session_busy"


async def test_a_foreign_session_and_a_late_one(tenant: Tenant) -> None:
    """What is refused leaves the others as they are."""
    users = await together(tenant, {"user": "ana"}, {"user": "bob"}, {"not_after": 1}, {"user": "ana"})
    assert outcomes(users) == [("accepted", ""), ("session_denied", ""), ("late", ""), ("accepted", "")]


async def test_a_key_of_another_type(tenant: Tenant) -> None:
    """A session that cannot be written concerns its own sends alone."""
    tenant.client.set(tenant.key("log:sess-2"), "foreign", ex=60)
    first, broken, last = await together(tenant, {}, {"session": "sess-2"}, {})
    assert (first.outcome, last.outcome) == ("accepted", "accepted")
    assert isinstance(broken, Refused)
    assert broken.kind == "WRONGTYPE"


async def test_plan_of_the_agenda(tenant: Tenant) -> None:
    """A send that relies on a plan is accepted until somebody looks at the tenant; then nothing is done."""
    first = await tenant.admit()
    assert first.tended == ""
    assert (await tenant.admit(planned=first.tended)).outcome == "accepted"

    await tenant.tasks.tend(tenant.name)
    kept = tenant.dump()
    assert (await tenant.admit(planned=first.tended)).outcome == "plan"
    assert tenant.dump() == kept

    again = await tenant.admit()
    assert again.tended != first.tended
    assert (await tenant.admit(planned=again.tended)).outcome == "accepted"
