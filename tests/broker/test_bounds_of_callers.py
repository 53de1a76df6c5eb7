"""What agents and users may say much of costs the server little, and none of it is half done (DESIGN §2)."""

import json

from tests.broker.conversation import Conversation
from tests.broker.tenant import Tenant, callback
from tests.packed import waiting_endings


async def commands_of(tenant: Tenant, *raws: bytes) -> int:
    """How many commands a call of deliver.lua makes for these callbacks."""
    tenant.report(*raws)
    before = sum(row["calls"] for row in tenant.client.info("commandstats").values())
    await tenant.callbacks.deliver([tenant.name])
    return sum(row["calls"] for row in tenant.client.info("commandstats").values()) - before


async def test_took_of_many(tenant: Tenant) -> None:
    """However many ids an agent says it took, a hundred are looked at."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"))
    took = [f"task-{number}" for number in range(5_000)]
    assert await commands_of(tenant, callback(task, "running", took=took)) < 300
    assert await tenant.status(task) == "running"


async def test_lease_between_microseconds(tenant: Tenant) -> None:
    """A lease that is no whole number of microseconds is one all the same, and the reply can be read."""
    task = await tenant.task()
    delivered = await tenant.deliver(callback(task, "running", lease=10 / 3))
    assert delivered.due == tenant.client.zscore(tenant.key("leases"), task)


async def test_inbox_is_read_once(tenant: Tenant) -> None:
    """Messages that leave an inbox together cost one look at it; what stays is still there in order."""
    talk = Conversation(tenant)
    target = await talk.started()
    inbox = tenant.key(f"inbox:{target}")
    first = await talk.say("steer")
    others = [await talk.say("steer") for _ in range(20)]
    await tenant.tasks.cancel(tenant.name, others[0], "")
    assert [json.loads(line)["task_id"] for line in tenant.client.lrange(inbox, 0, -1)] == [
        first,
        *others[1:],
    ]

    tenant.client.config_resetstat()
    await talk.say("latest")
    calls = {name: row["calls"] for name, row in tenant.client.info("commandstats").items()}
    assert (calls["cmdstat_lrange"], calls.get("cmdstat_lrem", 0)) == (1, 0)
    assert not tenant.client.exists(inbox)


async def test_endings_of_a_call(tenant: Tenant) -> None:
    """However many messages agents say they took, one call ends a hundred and the next ones the others."""
    talk = Conversation(tenant)
    target = await talk.started()
    steered = await talk.say("steer")
    record = tenant.client.hgetall(tenant.key(f"task:{steered}"))
    ids = [f"task-copy-{number}" for number in range(1_200)]
    with tenant.client.pipeline(transaction=False) as pipeline:
        for task in ids:
            pipeline.hset(tenant.key(f"task:{task}"), mapping=record)
            pipeline.pexpire(tenant.key(f"task:{task}"), 100_000)
        pipeline.execute()

    pieces = [ids[start : start + 100] for start in range(0, len(ids), 100)]
    tenant.report(*(callback(target, "progress", took=piece) for piece in pieces))
    calls = [(await tenant.callbacks.deliver([tenant.name]))[0] for _ in pieces]
    assert [(len(call.ended), call.stop) for call in calls] == [(100, "")] * 12
    assert tenant.client.llen(tenant.key("log:sess-1")) > 1_200
    assert 1_000 <= len(waiting_endings(tenant.client, tenant.key("session:sess-1"))) <= 1_500


async def test_place_of_too_many(tenant: Tenant) -> None:
    """A message that would take the place of more than 100 is refused before anything is written."""
    talk = Conversation(tenant)
    for _ in range(101):
        await talk.say("parallel")
    kept = tenant.dump()
    reply = await talk.admit(talk.request("latest"))
    assert (reply.outcome, reply.detail) == ("queue_full", "turns")
    assert tenant.dump() == kept
    await tenant.tasks.cancel(tenant.name, (await tenant.tasks.outstanding(tenant.name, 0, 1))[0], "")
    assert (await talk.admit(talk.request("latest"))).outcome == "accepted"
    assert len(await talk.codes()) == 101


async def test_waiting_for_people_costs_no_attempt(tenant: Tenant) -> None:
    """Workers that come and go while a person is asked leave the task all of its attempts."""
    task = await tenant.task()
    for attempt in range(1, 8):
        await tenant.deliver(callback(task, "input_required", {"prompt": "Shall I?"}, attempt=attempt))
        assert (await tenant.tasks.retry(tenant.name, task, attempt)).outcome == "retried"
    outcomes = [(await tenant.tasks.retry(tenant.name, task, attempt)).outcome for attempt in (8, 9, 10)]
    assert outcomes == ["retried", "retried", "ended"]


async def test_huge_ending_of_an_older_attempt(tenant: Tenant) -> None:
    """It is fenced like any other, though nobody reads all of it."""
    task = await tenant.task()
    await tenant.tasks.retry(tenant.name, task, 1)
    tenant.report(callback(task, "completed", {"response": "x" * 4_300_000}, attempt=1))
    await tenant.callbacks.deliver_huge(tenant.name)
    assert await tenant.status(task) == "retrying"
