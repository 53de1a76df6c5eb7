"""A Redis error is raised before the first write, so nothing is ever half done (DESIGN §2).

Somebody else's key of another type stands where one of the tenant's belongs, in turn at each of them.
"""

import itertools
from typing import Any

import pytest
from tests.broker.tenant import Tenant, callback, chunk, counted
from tests.packed import run_of

from orchestrator.broker.connection import BrokerError, Refused

OF_DELIVERY = ["task:TASK", "text:TASK", "session:sess-1", "log:sess-1", "tenant",
               "outstanding", "unpushed", "stats:NOW"]  # fmt: skip
OF_A_PIECE = ["text:TASK", "session:sess-1", "log:sess-1"]
OF_ADMISSION = ["task:NEW", "session:sess-1", "log:sess-1", "tenant", "outstanding", "unpushed",
                "stats:NOW", "rate:sess-1", "tasks:sess-1", "idem:sess-1:k"]  # fmt: skip
NEW = "task-new"


def spoil(tenant: Tenant, name: str, task: str) -> None:
    """Put a value of another type at a key of the tenant."""
    now = tenant.broker.clock.now()
    for part in (now // 600_000_000, now // 600_000_000 + 1) if name.endswith("NOW") else (0,):
        key = tenant.key(name.replace("TASK", task).replace("NEW", NEW).replace("NOW", str(part)))
        tenant.client.delete(key)
        if name.startswith(("text", "idem")):
            tenant.client.rpush(key, "foreign")
        else:
            tenant.client.set(key, "foreign")
        tenant.client.expire(key, 600)


@pytest.mark.parametrize(
    ("status", "name"),
    [*(("streaming", name) for name in OF_A_PIECE), *(("completed", name) for name in OF_DELIVERY)],
)
async def test_deliver(tenant: Tenant, name: str, status: str) -> None:
    """The callback stays at the head of its queue, and every key as it was."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "a"))
    spoil(tenant, name, task)
    tenant.report(callback(task, status, {"delta": "b"}))
    kept = tenant.dump()
    delivered = (await tenant.callbacks.deliver([tenant.name]))[0]

    assert (delivered.taken, delivered.left, delivered.stop) == (0, 1, "error")
    assert delivered.error.startswith("WRONGTYPE")
    assert tenant.dump() == kept


@pytest.mark.parametrize("name", sorted(set(OF_DELIVERY) - set(OF_A_PIECE)))
async def test_a_piece_of_text(tenant: Tenant, name: str) -> None:
    """Of a running task it writes what is the task's and the session's; what stands elsewhere does not matter to it."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "a"))
    spoil(tenant, name, task)
    kept = tenant.dump()
    delivered = await tenant.deliver(chunk(task, "b"))

    assert (delivered.taken, delivered.left, delivered.stop) == (1, 0, "")
    now = tenant.dump()
    assert {key for key in kept if now[key] != kept[key]} == {
        tenant.key(key.replace("TASK", task)).encode() for key in OF_A_PIECE
    }


async def test_the_first_piece(tenant: Tenant) -> None:
    """The record says when it came, so it waits where that cannot be written."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"))
    spoil(tenant, "task:TASK", task)
    tenant.report(chunk(task, "a"))
    kept = tenant.dump()
    delivered = (await tenant.callbacks.deliver([tenant.name]))[0]
    assert (delivered.taken, delivered.left, delivered.stop) == (0, 1, "error")
    assert tenant.dump() == kept


async def test_a_piece_of_text_under_a_lease(tenant: Tenant) -> None:
    """It renews the lease, so it waits where that cannot be written."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running", lease=5))
    spoil(tenant, "leases", task)
    kept = tenant.dump()
    delivered = await tenant.deliver(chunk(task, "a"))
    assert (delivered.taken, delivered.left, delivered.stop) == (0, 1, "error")
    tenant.client.delete(tenant.queue)
    assert tenant.dump() == kept


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("dead", "a dead letter"),
        *itertools.product(["tenant", "outstanding"], ["an ending", "a dead letter"]),
    ],
)
async def test_what_follows_a_piece_of_text(tenant: Tenant, name: str, second: str) -> None:
    """What only the second of a batch would write is looked at before anything of it is noted."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "a"))
    spoil(tenant, name, task)
    raw = b"?" if second == "a dead letter" else callback(task, "completed", {"response": "ok"})
    delivered = await tenant.deliver(chunk(task, "b"), raw)

    assert (delivered.taken, delivered.left, delivered.stop) == (1, 1, "error")
    assert counted(delivered) == {"taken|streaming": 1}
    assert run_of(tenant.client, tenant.key(f"task:{task}")).text_bytes == 2
    assert await tenant.status(task) == "running"


async def test_deliver_from_a_key_that_is_no_list(tenant: Tenant) -> None:
    """A queue of another type is an error of that queue alone."""
    tenant.client.set(tenant.queue, "foreign")
    other = tenant.another("globex")
    other.report(b"?")
    delivered = (await tenant.callbacks.deliver([tenant.name]))[0]
    assert (delivered.taken, delivered.stop) == (0, "error")
    assert (await other.callbacks.deliver([other.name]))[0].taken == 1


async def test_batch_that_is_cut(tenant: Tenant) -> None:
    """An error in the middle of a batch leaves exactly what was finished before it, and the rest in its order."""
    good, bad = await tenant.task(), await tenant.task(session="sess-2")
    spoil(tenant, f"log:{'sess-2'}", bad)
    rest = [callback(bad, "running"), callback(good, "completed", {"response": "ok"})]
    delivered = await tenant.deliver(callback(good, "running"), b"?", chunk(good, "a"), *rest)

    assert (delivered.taken, delivered.left, delivered.stop) == (3, 2, "error")
    assert counted(delivered) == {"taken|running": 1, "dead|not_json": 1, "taken|streaming": 1}
    assert tenant.client.lrange(tenant.queue, 0, -1) == rest[::-1]
    assert [frame["type"] for frame in await tenant.frames()] == ["task_update", "task_update", "agent_chunk"]
    assert await tenant.status(bad) == "accepted"

    tenant.client.delete(tenant.key("log:sess-2"))
    assert (await tenant.callbacks.deliver([tenant.name]))[0].taken == 2
    assert await tenant.status(bad) == "running"


@pytest.mark.parametrize("name", OF_DELIVERY)
@pytest.mark.parametrize("call", ["deliver_big", "bury"])
async def test_one_at_the_head(tenant: Tenant, name: str, call: str) -> None:
    """The scripts for a single callback change nothing either, and the error is told."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "a"))
    tenant.report(b"raw")
    spoil(tenant, name, task)
    kept = tenant.dump()
    needless = call == "bury" and name.split(":", maxsplit=1)[0] in {"task", "text", "session", "log"}
    error = ""
    try:
        if call == "bury":
            error = (await tenant.callbacks.bury(tenant.name, b"raw", "undeliverable")).error
        else:
            told: dict[str, Any] = {"task_id": task, "status": "completed", "has_response": True}
            error = (await tenant.callbacks.deliver_big(tenant.name, b"raw", told, "")).error
    except Refused as refused:
        error = str(refused)

    assert error.startswith("WRONGTYPE") != needless
    assert (tenant.dump() == kept) != needless


@pytest.mark.parametrize("name", [*OF_DELIVERY, "cancel:TASK"])
async def test_cancel(tenant: Tenant, name: str) -> None:
    """A cancellation that cannot be whole is refused; the task goes on."""
    task = await tenant.task()
    await tenant.deliver(chunk(task, "a"))
    spoil(tenant, name, task)
    kept = tenant.dump()
    with pytest.raises(Refused, match="WRONGTYPE"):
        await tenant.tasks.cancel(tenant.name, task, "")
    assert tenant.dump() == kept


@pytest.mark.parametrize("name", OF_ADMISSION)
async def test_admit(tenant: Tenant, name: str) -> None:
    """An admission that cannot be whole is refused, and costs nothing of any limit."""
    task = await tenant.task()
    spoil(tenant, name, task)
    kept = tenant.dump()
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await tenant.admit(task=NEW, session_limit=9, idempotency="k", fingerprint="f")
    assert tenant.dump() == kept


@pytest.mark.parametrize("name", ["tenant", "outstanding", "unpushed", "stats:NOW"])
async def test_tend(tenant: Tenant, name: str) -> None:
    """A look that cannot write what is the tenant's ends no task."""
    task = await tenant.task(timeout=-1)
    spoil(tenant, name, task)
    kept = tenant.dump()
    with pytest.raises(Refused, match="WRONGTYPE"):
        await tenant.tasks.tend(tenant.name)
    assert tenant.dump() == kept
