"""What the script leaves to Python: large callbacks, and those that cannot be taken."""

import json
from typing import Any

import pytest
from tests.broker.tenant import Tenant, callback, chunk
from tests.delivery.parts import Parts

from orchestrator.broker.connection import Unavailable
from orchestrator.delivery.callback_handler import STRIKES_MAX, judge_big
from orchestrator.metrics import Counter


async def test_small_ones(parts: Parts, tenant: Tenant) -> None:
    """What a call took is counted and logged, with tenant, session and task on the line that ends one."""
    task = await tenant.task()
    tenant.report(
        chunk(task, "a", 3), chunk(task, "a", 3), callback(task, "completed"), callback(task, "failed"), b"?"
    )
    handled = await parts.handler.handle([tenant.name])

    assert (handled.more, handled.failed) == ([], [])
    assert parts.counted(Counter.CALLBACKS) == {"streaming": 2, "completed": 1}
    assert parts.counted(Counter.CALLBACKS_DROPPED) == {"duplicate": 1, "late": 1}
    assert parts.counted(Counter.DEAD_LETTERS) == {"not_json": 1}
    assert parts.counted(Counter.TASKS_ENDED) == {"completed": 1}
    ended = next(
        line for line in map(json.loads, parts.lines.getvalue().splitlines()) if line["event"] == "task_ended"
    )
    assert (ended["tenant_id"], ended["session_id"], ended["task_id"]) == (tenant.name, "sess-1", task)


async def test_one_that_cannot_be_planned(
    parts: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a tenant's next look cannot be planned, what the same call did for the others is noted all the same."""

    async def away(*_: Any) -> None:
        raise Unavailable("the agenda's node is away")

    monkeypatch.setattr(parts.handler, "_attend", away)
    other = tenant.another("other")
    tenant.report(callback(await tenant.task(), "running", lease=5))
    other.report(callback(await other.task(), "completed"))
    await parts.handler.handle([tenant.name, other.name])
    assert parts.counted(Counter.TASKS_ENDED) == {"completed": 1}


async def test_more_waits(parts: Parts, tenant: Tenant) -> None:
    """Who has more waiting is named, and one whom the call did not come to goes first."""
    others = [tenant.another(f"t-{number}") for number in range(6)]
    for other in others:
        other.report(*[b"x" * 60_000] * 3)
    handled = await parts.handler.handle([other.name for other in others])
    untouched = [other.name for other in others if tenant.client.llen(other.queue) == 3]
    assert untouched
    assert handled.more[: len(untouched)] == untouched
    assert sorted(handled.more) == sorted(o.name for o in others if tenant.client.llen(o.queue))


async def test_large_answer(parts: Parts, tenant: Tenant) -> None:
    """An answer between 40 KiB and 1 MiB is read here and delivered whole; the next one is not held up."""
    task, other = await tenant.task(), await tenant.task()
    tenant.report(callback(task, "completed", {"response": "x" * 900_000}), callback(other, "running"))
    handled = await parts.handler.handle([tenant.name])
    assert handled.more == [tenant.name]
    assert (await tenant.frames())[-1]["data"]["response"] == "x" * 900_000
    await parts.handler.handle([tenant.name])
    assert await tenant.status(other) == "running"


@pytest.mark.parametrize(
    ("status", "reason"), [("completed", None), ("failed", None), ("progress", "too_large")]
)
async def test_larger_than_allowed(parts: Parts, tenant: Tenant, status: str, reason: str | None) -> None:
    """Over 1 MiB an ending ends its task as failed; anything else is a dead letter and the task goes on."""
    task = await tenant.task()
    tenant.report(callback(task, status, {"response": "x" * 2**20}))
    await parts.handler.handle([tenant.name])
    if reason is None:
        assert (await tenant.frames())[-1]["data"]["code"] == "result_too_large"
        assert parts.counted(Counter.DEAD_LETTERS) == {}
    else:
        assert [letter.reason for letter in await tenant.dead()] == [reason]
        assert await tenant.status(task) == "accepted"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"attempt": 2**70}, "invalid_attempt"),
        ({"attempt": [1]}, "invalid_attempt"),
        ({"attempt": True}, "invalid_attempt"),
        ({"attempt": 7}, "unknown_attempt"),
        ({"seq": -(2**70)}, "invalid_seq"),
        ({"seq": float("inf")}, None),
        ({"task_id": "task-\ud800"}, "unknown_task"),
        ({"task_id": {"a": 1}}, "unknown_task"),
        ({"status": ["completed"]}, "unknown_status"),
        ({"status": "streaming", "result": {"delta": {}, "x": "x" * 70_000}}, "missing_delta"),
        ({"action_type": "x" * 70_000}, "unknown_action"),
    ],
)
async def test_large_oddities(
    parts: Parts, tenant: Tenant, members: dict[str, Any], reason: str | None
) -> None:
    """Whatever a large callback says of itself, it leaves the queue: taken, or as a dead letter with the reason."""
    task = await tenant.task()
    told = {"task_id": task, "status": "progress", "result": {"x": "y" * 70_000}, **members}
    tenant.report(json.dumps(told).encode())
    handled = await parts.handler.handle([tenant.name])
    assert (handled.more, handled.failed) == ([], [])
    assert [letter.reason for letter in await tenant.dead()] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({}, None),
        ({"question": 7, "expires_in": 60}, None),
        ({"prompt": ""}, "missing_prompt"),
        ({"question": "a b"}, "invalid_question"),
        ({"expires_in": "60"}, "invalid_expires_in"),
        ({"more": "x" * 10_000}, "too_large"),
    ],
)
async def test_large_question(
    parts: Parts, tenant: Tenant, result: dict[str, Any], reason: str | None
) -> None:
    """A question of up to 64 KiB is asked, and judged as any other; a larger one is a dead letter."""
    task = await tenant.task()
    tenant.report(callback(task, "input_required", {"prompt": "?", "schema": "x" * 60_000, **result}))
    await parts.handler.handle([tenant.name])
    assert [letter.reason for letter in await tenant.dead()] == ([reason] if reason else [])
    if reason is None:
        assert (await tenant.record(task))["question"] == str(result.get("question", "1")).encode()


@pytest.mark.parametrize("raw", [b"", b"[]", b"x" * 70_000, b'{"a":' + b"[" * 70_000, b"\xff" * 70_000])
def test_no_object(raw: bytes) -> None:
    """What is no JSON object says nothing that could be judged."""
    assert judge_big(raw) == (None, "not_json")


def test_only_a_piece_has_a_delta() -> None:
    """An ending may be called anything inside: only of a chunk its text goes along with the envelope."""
    for status in ("completed", "progress", "streaming"):
        envelope, _ = judge_big(callback("task-1", status, {"delta": "x" * 100_000}))
        assert envelope is not None
        assert ("delta" in envelope) == (status == "streaming")


def test_largest_are_not_repaired() -> None:
    """Over 1 MiB what is no strict JSON is a dead letter as it is, though it could be repaired."""
    odd = b'{"task_id":"task-1","status":"completed","x":01,"y":"%b"}'
    assert judge_big(odd % (b"y" * 100_000))[1] == ""
    assert judge_big(odd % (b"y" * 1_100_000)) == (None, "not_json")


async def test_buried_at_the_third_time(parts: Parts, tenant: Tenant) -> None:
    """A callback that cannot be taken is tried three times, then makes room for those behind it."""
    task, good = await tenant.task(), await tenant.task(session="sess-2")
    tenant.client.delete(tenant.key("log:sess-1"))
    tenant.client.set(tenant.key("log:sess-1"), "foreign", ex=600)
    bad = callback(task, "running")
    tenant.report(bad, callback(good, "completed"))
    for strike in range(STRIKES_MAX):
        assert tenant.client.llen(tenant.queue) == 2
        handled = await parts.handler.handle([tenant.name])
        assert handled.failed == []
        assert (await tenant.status(good), strike) != ("completed", 0)
    assert [(letter.reason, letter.callback) for letter in await tenant.dead()] == [
        ("undeliverable", bad.decode())
    ]
    await parts.handler.handle([tenant.name])
    assert await tenant.status(good) == "completed"


async def test_strikes_are_of_one_callback(parts: Parts, tenant: Tenant) -> None:
    """Two strikes of one callback do not count for the next one."""
    first, second = await tenant.task(), await tenant.task(session="sess-2")
    keys = [tenant.key("log:sess-1"), tenant.key("log:sess-2")]
    for key in keys:
        tenant.client.rename(key, key + ":aside")
        tenant.client.set(key, "foreign", ex=600)
    tenant.report(callback(first, "running"), callback(second, "running"))
    for _ in range(STRIKES_MAX - 1):
        await parts.handler.handle([tenant.name])
    tenant.client.rename(keys[0] + ":aside", keys[0])
    await parts.handler.handle([tenant.name])
    assert await tenant.status(first) == "running"
    await parts.handler.handle([tenant.name])
    assert (await tenant.dead(), tenant.client.llen(tenant.queue)) == ([], 1)


async def test_server_that_refuses(parts: Parts, tenant: Tenant) -> None:
    """A fault of the server or of our rights buries nothing, however often it is met."""
    task = await tenant.task()
    tenant.client.execute_command("ACL", "SETUSER", "default", "-zcard")
    tenant.report(callback(task, "running"))
    try:
        for _ in range(STRIKES_MAX + 1):
            assert (await parts.handler.handle([tenant.name])).failed == [tenant.name]
    finally:
        tenant.client.execute_command("ACL", "SETUSER", "default", "+@all")
    await parts.handler.handle([tenant.name])
    assert await tenant.status(task) == "running"
    assert not await tenant.dead()


async def test_place_of_dead_letters_is_foreign(parts: Parts, tenant: Tenant) -> None:
    """Where not even a burial can be written, the callback stays, and other tenants of the call are served."""
    other = tenant.another("globex")
    task = await other.task()
    tenant.client.set(tenant.key("dead"), "foreign", ex=600)
    for _ in range(STRIKES_MAX + 1):
        tenant.report(b"?")
        other.report(callback(task, "progress", {"x": "y" * 70_000}))
        await parts.handler.handle([tenant.name, other.name])
        assert other.client.llen(other.queue) == 0
    assert tenant.client.llen(tenant.queue) == STRIKES_MAX + 1
