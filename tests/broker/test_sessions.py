"""open_session.lua, touch.lua, settle.lua and session.lua (contract §4, mechanics of the log)."""

import pytest
from tests.broker.tenant import AGENT, SECOND, Tenant, callback
from tests.packed import state_of, waiting_endings

from orchestrator.broker.access_cache import AccessCache, ContextAnswer
from orchestrator.broker.logs import Settled
from orchestrator.protocol.position import Position


async def test_new_session(tenant: Tenant) -> None:
    """Who comes first begins an epoch at offset 0, for as long as a log is kept."""
    opened, events = await tenant.open("live")
    again, _ = await tenant.open("live")
    assert (opened.outcome, opened.recovered, opened.top, opened.mark, events) == ("opened", True, 0, "0", [])
    assert again.epoch == opened.epoch
    assert 3_590 < tenant.client.ttl(tenant.key("session:sess-1")) <= 3_600


async def test_live(tenant: Tenant) -> None:
    """Without a position a reader starts where the log stands."""
    await tenant.task()
    opened, events = await tenant.open("live")
    assert (opened.recovered, opened.start, opened.reached, opened.top, events) == (True, 1, 1, 1, [])


async def test_position_is_honoured(tenant: Tenant) -> None:
    """Every position of the log gives what came after it, once."""
    task = await tenant.task()
    await tenant.deliver(
        callback(task, "running"), callback(task, "progress", {"n": 1}), callback(task, "completed")
    )
    opened, events = await tenant.open("earliest")
    for index, event in enumerate(events):
        after, rest = await tenant.open(Position(opened.epoch, event.offset, event.at))
        assert (after.recovered, after.start, after.start_mark) == (True, event.offset, str(event.at))
        assert [later.offset for later in rest] == [later.offset for later in events[index + 1 :]]


@pytest.mark.parametrize("fault", ["epoch", "mark", "mark of the last", "ahead", "trimmed"])
async def test_position_that_cannot_be_honoured(tenant: Tenant, fault: str) -> None:
    """Another epoch, an entry with another mark, ahead of the log, or trimmed: live from the top, and it says so."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"), callback(task, "completed"))
    opened, events = await tenant.open()
    second, last = events[1], events[2]
    if fault == "trimmed":
        tenant.client.ltrim(tenant.key("log:sess-1"), 2, -1)
    position = {
        "epoch": Position("0" * 16, 2, second.at),
        "mark": Position(opened.epoch, 2, second.at + 1),
        "mark of the last": Position(opened.epoch, 3, last.at + 1),
        "ahead": Position(opened.epoch, 4, last.at),
        "trimmed": Position(opened.epoch, 1, events[0].at),
    }[fault]
    answer, rest = await tenant.open(position)

    assert (answer.outcome, answer.recovered, rest) == ("opened", False, [])
    assert (answer.start, answer.reached, answer.position) == (3, 3, Position(opened.epoch, 3, last.at))


async def test_position_before_the_first_that_is_kept(tenant: Tenant) -> None:
    """The entry at the position may be gone, as long as nothing after it is."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "running"), callback(task, "completed"))
    opened, events = await tenant.open()
    tenant.client.ltrim(tenant.key("log:sess-1"), 1, -1)
    answer, rest = await tenant.open(Position(opened.epoch, 1, events[0].at))
    assert (answer.recovered, [event.offset for event in rest]) == (True, [2, 3])


async def test_owner(tenant: Tenant) -> None:
    """The first named user owns the session; one without a name is let in, another is not."""
    assert (await tenant.open(user=""))[0].outcome == "opened"
    assert (await tenant.open(user="ana"))[0].outcome == "opened"
    assert (await tenant.open(user=""))[0].outcome == "opened"
    kept = tenant.dump()
    assert (await tenant.open(user="bob"))[0].outcome == "session_denied"
    assert tenant.dump() == kept
    assert (await tenant.open(user="bob", session="sess-2"))[0].outcome == "opened"


@pytest.mark.parametrize(
    ("tier", "outcome"),
    [("free", "opened"), ("", "access_denied"), ("advance", "tier_mismatch"), (None, "ask")],
)
async def test_access(tenant: Tenant, tier: str | None, outcome: str) -> None:
    """A socket is judged by its tenant and tier alone."""
    if tier is not None:
        await AccessCache(tenant.broker, 300).remember(
            tenant.name, "0", tier, {}, {AGENT: ContextAnswer(False)}
        )
    assert (await tenant.open(validate=True))[0].outcome == outcome


async def test_connections(tenant: Tenant) -> None:
    """A tenant's sockets on all replicas count together; what a dead replica told is not believed for ever."""
    assert (await tenant.open(replica="r1", sockets=2, sockets_max=3))[0].outcome == "opened"
    assert (await tenant.open(replica="r2", sockets=1, sockets_max=3))[0].outcome == "opened"
    assert (await tenant.open(replica="r2", sockets=2, sockets_max=3))[0].outcome == "too_many_connections"
    now = tenant.broker.clock.now()
    tenant.client.hset(tenant.key("sockets"), "r1", f"2:{now - SECOND}")
    assert (await tenant.open(replica="r2", sockets=2, sockets_max=3))[0].outcome == "opened"


async def test_touched(tenant: Tenant) -> None:
    """A session with a socket is kept, in full again when a tenth of its time is gone; where it stands is told."""
    await tenant.task(session="sess-2", timeout=-3_600)
    opened, _ = await tenant.open()
    keys = [tenant.key("session:sess-2"), tenant.key("log:sess-2")]
    before = [tenant.client.pexpiretime(key) for key in keys]
    tops = await tenant.touch("sess-2", "sess-1", "sess-unknown")
    assert [tenant.client.pexpiretime(key) for key in keys] == before
    assert [(top.epoch, top.offset) for top in tops][1:] == [(opened.epoch, 0), ("", 0)]
    assert tops[0].offset == 1

    state = state_of(tenant.client, keys[0])
    assert state
    soon = state._replace(expires=tenant.broker.clock.now() + 3_200 * SECOND)
    tenant.client.hset(keys[0], "state", soon.packed())
    for key in keys:
        tenant.client.expire(key, 3_200)
    await tenant.touch("sess-2")
    assert all(3_590 < tenant.client.ttl(key) <= 3_600 for key in keys)


async def test_log_is_kept_while_a_task_is_open(tenant: Tenant) -> None:
    """A log outlives the latest deadline by its whole time, and being touched does not shorten that."""
    await tenant.task(timeout=7_200)
    await tenant.task(timeout=60)
    await tenant.touch("sess-1")
    for name in ("session:sess-1", "log:sess-1"):
        assert 10_790 < tenant.client.ttl(tenant.key(name)) <= 10_800


async def test_settled(tenant: Tenant) -> None:
    """Endings up to an offset are noted as delivered, and acknowledged up to another; each moment once."""
    first, second, third = [await tenant.task() for _ in range(3)]
    await tenant.deliver(*[callback(task, "completed") for task in (first, second, third)])
    epoch = (await tenant.open())[0].epoch
    await tenant.logs.settle(tenant.name, [Settled("sess-1", epoch, 5, 4)])
    records = [await tenant.record(task) for task in (first, second, third)]
    assert ["delivered_at" in record for record in records] == [True, True, False]
    assert ["acknowledged_at" in record for record in records] == [True, False, False]
    assert waiting_endings(tenant.client, tenant.key("session:sess-1")).keys() == {second, third}

    await tenant.logs.settle(tenant.name, [Settled("sess-1", epoch, 6, 6)])
    again = await tenant.record(second)
    assert again["delivered_at"] == records[1]["delivered_at"]
    assert "acknowledged_at" in again


async def test_settled_in_steps(tenant: Tenant) -> None:
    """However many endings are noted at once, one call of Redis notes 500, and none is left out."""
    tasks = [await tenant.task() for _ in range(620)]
    await tenant.deliver_all(*[callback(task, "completed") for task in tasks])
    opened, _ = await tenant.open("live")
    await tenant.logs.settle(
        tenant.name, [Settled("sess-1", opened.epoch, 0, 0)]
    )  # the server knows the script by now
    tenant.client.config_resetstat()
    await tenant.logs.settle(tenant.name, [Settled("sess-1", opened.epoch, opened.top, opened.top - 20)])
    assert tenant.client.info("commandstats")["cmdstat_fcall"]["calls"] == 2
    records = [await tenant.record(task) for task in tasks]
    assert ["delivered_at" in record for record in records] == [True] * 620
    assert ["acknowledged_at" in record for record in records] == [True] * 600 + [False] * 20
    assert len(waiting_endings(tenant.client, tenant.key("session:sess-1"))) == 20


async def test_settled_together(tenant: Tenant) -> None:
    """Sessions of a tenant are noted in one call; offsets of another epoch say nothing, and stop none of the others."""
    tasks = [await tenant.task(session=f"sess-{number}") for number in range(3)]
    await tenant.deliver(*[callback(task, "completed") for task in tasks])
    epochs = [(await tenant.open("live", session=f"sess-{number}"))[0].epoch for number in range(3)]
    epochs[1] = "0" * 16
    tenant.client.config_resetstat()
    await tenant.logs.settle(
        tenant.name, [Settled(f"sess-{n}", epoch, 9, 0) for n, epoch in enumerate(epochs)]
    )
    assert tenant.client.info("commandstats")["cmdstat_fcall"]["calls"] == 1
    assert ["delivered_at" in await tenant.record(task) for task in tasks] == [True, False, True]


async def test_delivered_in_steps(tenant: Tenant) -> None:
    """So it is with what a client never acknowledges."""
    tasks = [await tenant.task() for _ in range(620)]
    await tenant.deliver_all(*[callback(task, "completed") for task in tasks])
    opened, _ = await tenant.open("live")
    await tenant.logs.settle(tenant.name, [Settled("sess-1", opened.epoch, opened.top, 0)])
    assert ["delivered_at" in await tenant.record(task) for task in tasks] == [True] * 620
    assert tenant.client.hget(tenant.key("session:sess-1"), "settled") == b"%d" % opened.top


async def test_settled_in_another_epoch(tenant: Tenant) -> None:
    """Offsets of another epoch say nothing about this one, in either direction."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "completed"))
    await tenant.logs.settle(tenant.name, [Settled("sess-1", "0" * 16, 9, 9)])
    tenant.client.delete(tenant.key("session:sess-1"))
    opened, _ = await tenant.open()
    await tenant.logs.settle(tenant.name, [Settled("sess-1", opened.epoch, 9, 9)])
    assert not {"delivered_at", "acknowledged_at"} & (await tenant.record(task)).keys()


async def test_settled_without_a_record(tenant: Tenant) -> None:
    """A record that is gone is not made anew by an acknowledgement."""
    task = await tenant.task()
    await tenant.deliver(callback(task, "completed"))
    tenant.client.delete(tenant.key(f"task:{task}"))
    epoch = (await tenant.open("live"))[0].epoch
    await tenant.logs.settle(tenant.name, [Settled("sess-1", epoch, 2, 2)])
    assert not tenant.client.exists(tenant.key(f"task:{task}"))


async def test_view(tenant: Tenant) -> None:
    """A session tells its position, its open tasks and the newest ended ones, newest first."""
    tasks = [await tenant.task(user="ana") for _ in range(3)]
    await tenant.deliver(callback(tasks[0], "completed"), callback(tasks[1], "failed"))
    view = await tenant.logs.view(tenant.name, "sess-1", "ana")
    assert (view.outcome, view.tasks) == ("found", tasks[::-1])
    assert view.position == str((await tenant.open("live", user="ana"))[0].position)
    assert (await tenant.logs.view(tenant.name, "sess-1", "bob")).outcome == "session_denied"
    assert (await tenant.logs.view(tenant.name, "sess-2", "ana")).outcome == "not_found"


async def test_view_is_bounded(tenant: Tenant) -> None:
    """Fifty ended tasks are told, and every open one, however old."""
    first = await tenant.task()
    for _ in range(60):
        task = await tenant.task()
        tenant.client.hset(tenant.key(f"task:{task}"), "status", "completed")
    view = await tenant.logs.view(tenant.name, "sess-1", "")
    assert len(view.tasks) == 51
    assert view.tasks[-1] == first


async def test_of_another_replica(tenant: Tenant) -> None:
    """The count of sockets that is told stands until it is told anew, and goes with the last one."""
    await tenant.logs.tell_sockets(tenant.name, "r2", 3)
    assert (await tenant.open(sockets_max=3))[0].outcome == "too_many_connections"
    assert tenant.client.ttl(tenant.key("sockets")) > 0
    await tenant.logs.tell_sockets(tenant.name, "r2", 0)
    assert (await tenant.open(sockets_max=3))[0].outcome == "opened"
