"""deliver_big.lua and bury.lua: the one callback at the head, compared before it is taken."""

from hashlib import sha1
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


@pytest.mark.parametrize(("lies_there", "stop"), [("task-acme-1", ""), ("task-acme-2", "moved")])
async def test_moved_to_one_that_looks_the_same(tenant: Tenant, lies_there: str, stop: str) -> None:
    """Over 1 MiB not all of it is compared; but another task's, whatever else they share, is another one."""
    one, other = await tenant.task(), await tenant.task()
    pad = '"x":"' + "y" * 600_000 + '",'
    raw = f'{{{pad}"task_id":"{one}","status":"completed",{pad}"z":0}}'
    tenant.report(raw.replace(one, lies_there).encode())
    delivered = await tenant.callbacks.deliver_big(
        tenant.name, raw.encode(), envelope(one), "result_too_large"
    )
    assert (one, delivered.stop) == ("task-acme-1", stop)
    assert await tenant.status(other) == "accepted"


@pytest.mark.parametrize("size", [65_536, 1_048_576, 1_048_577])
async def test_moved_by_one_byte(tenant: Tenant, size: int) -> None:
    """One that is longer, and up to 1 MiB one that differs anywhere, is another one."""
    raw = b"x" * size
    tenant.report(raw + b"x")
    assert (await tenant.callbacks.bury(tenant.name, raw, "undeliverable")).stop == "moved"
    middle = raw[: size // 2] + b"y" + raw[size // 2 + 1 :]
    tenant.client.lset(tenant.queue, -1, middle)
    stop = (await tenant.callbacks.bury(tenant.name, raw, "undeliverable")).stop
    assert stop == ("moved" if size <= 1_048_576 else "")


async def test_little_of_the_largest_travels_back(tenant: Tenant) -> None:
    """Of one over 1 MiB the script is given pieces; its dead letter has its size and hash all the same."""
    raw = callback("task-x", "progress", {"pad": "x" * 3_000_000})
    tenant.report(raw)
    before = tenant.client.info("stats")["total_net_input_bytes"]
    await tenant.callbacks.deliver_big(tenant.name, raw, envelope("task-x", "progress"), "too_large")
    assert tenant.client.info("stats")["total_net_input_bytes"] - before < 100_000
    (letter,) = await tenant.dead()
    assert (letter.size, letter.sha1) == (len(raw), sha1(raw, usedforsecurity=False).hexdigest())


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
