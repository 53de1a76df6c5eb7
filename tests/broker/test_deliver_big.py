"""deliver_big.lua and bury.lua: the one callback at the head, compared before it is taken."""

from typing import Any

import pytest
from tests.broker.tenant import Tenant, callback, counted

from orchestrator.broker.callbacks import Delivered


def envelope(task: str, status: str = "completed", **members: Any) -> dict[str, Any]:
    """What Python tells the script of a callback that it read itself."""
    return {"task_id": task, "status": status, "has_response": False, "has_result": False, **members}


async def take(tenant: Tenant, raw: bytes, told: dict[str, Any] | None, verdict: str = "") -> Delivered:
    """Push one callback and have it taken as a big one."""
    tenant.report(raw)
    return await tenant.callbacks.deliver_big(tenant.name, raw, told, verdict)


async def test_ending(tenant: Tenant) -> None:
    """A large ending ends its task with its whole result, in the record and in the log."""
    task = await tenant.task()
    raw = callback(task, "completed", {"response": "x" * 100_000})
    delivered = await take(tenant, raw, envelope(task, has_response=True))

    assert (delivered.taken, delivered.left, delivered.ended[0].task) == (1, 0, task)
    assert (await tenant.record(task))["result"] == raw
    assert (await tenant.frames())[-1]["data"]["response"] == "x" * 100_000


async def test_chunk(tenant: Tenant) -> None:
    """A large piece of text is a chunk like any other."""
    task = await tenant.task()
    await take(tenant, b"x" * 70_000, envelope(task, "streaming", delta="x" * 70_000, seq=0))
    assert (await tenant.frames())[-1]["data"]["delta"] == "x" * 70_000


async def test_result_too_large(tenant: Tenant) -> None:
    """An ending over 1 MiB ends its task as failed, without its result."""
    task = await tenant.task()
    await take(tenant, b"x" * 1_100_000, envelope(task), "result_too_large")
    record = await tenant.record(task)
    assert (record["status"], record["code"], record["result"]) == (b"failed", b"result_too_large", b"")
    assert (await tenant.frames())[-1]["data"]["code"] == "result_too_large"


async def test_late_and_too_large(tenant: Tenant) -> None:
    """After the ending it is dropped like any other."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "completed"))
    assert counted(await take(tenant, b"x" * 9, envelope(task), "result_too_large")) == {"dropped|late": 1}


@pytest.mark.parametrize("verdict", ["not_json", "too_large"])
async def test_verdict_that_is_a_reason(tenant: Tenant, verdict: str) -> None:
    """What Python finds to be of no use is a dead letter with that reason."""
    task = await tenant.task()
    assert counted(await take(tenant, b"raw", envelope(task), verdict)) == {f"dead|{verdict}": 1}
    assert [(letter.reason, letter.callback) for letter in await tenant.dead()] == [(verdict, "raw")]
    assert await tenant.status(task) == "accepted"


async def test_fault_in_the_envelope(tenant: Tenant) -> None:
    """The script judges the envelope as it judges every other."""
    assert counted(await take(tenant, b"raw", {"task_id": 5, "status": "completed"})) == {
        "dead|unknown_task": 1
    }
    assert counted(await take(tenant, b"raw", {"task_id": "task-x", "status": False})) == {
        "dead|unknown_status": 1
    }


@pytest.mark.parametrize("call", ["deliver_big", "bury"])
async def test_moved(tenant: Tenant, call: str) -> None:
    """Where another replica took the callback already, nothing is done."""
    task = await tenant.task()
    tenant.report(b"another")
    kept = tenant.dump()
    if call == "bury":
        delivered = await tenant.callbacks.bury(tenant.name, b"raw", "undeliverable")
    else:
        delivered = await tenant.callbacks.deliver_big(tenant.name, b"raw", envelope(task), "")

    assert (delivered.taken, delivered.left, delivered.stop) == (0, 1, "moved")
    assert tenant.dump() == kept


async def test_buried(tenant: Tenant) -> None:
    """A callback that cannot be delivered goes to the dead letters as it is; the next one is at the head."""
    tenant.report(b"bad", b"next")
    delivered = await tenant.callbacks.bury(tenant.name, b"bad", "undeliverable")
    assert (delivered.taken, delivered.left, counted(delivered)) == (1, 1, {"dead|undeliverable": 1})
    assert [letter.callback for letter in await tenant.dead()] == ["bad"]
    assert await tenant.callbacks.peek(tenant.name) == b"next"


async def test_nothing_to_peek_at(tenant: Tenant) -> None:
    """An empty queue has nothing at its head."""
    assert await tenant.callbacks.peek(tenant.name) is None
