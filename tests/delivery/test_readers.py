"""Sockets of a session: in order, once (DESIGN §3.7, §3.8)."""

import asyncio

import pytest
from tests.broker.tenant import Tenant, callback, chunk
from tests.delivery.parts import Parts, Reader
from tests.servers import wait_until

from orchestrator.delivery import websocket_manager
from orchestrator.protocol.position import Position


async def test_live_and_in_order(live: Parts, tenant: Tenant) -> None:
    """A socket gets each event as it happens, other sessions' not at all."""
    reader, other = Reader(live), Reader(live, "sess-2")
    assert (await reader.open(), await other.open()) == ("opened", "opened")
    task = await tenant.task()
    tenant.report(callback(task, "running"), chunk(task, "a"), callback(task, "completed"))
    await wait_until(lambda: len(reader.frames) == 4)
    assert reader.offsets == [1, 2, 3, 4]
    assert other.frames == []
    for one in (reader, other):
        await one.leave()


async def test_resumes(live: Parts, tenant: Tenant) -> None:
    """Cut off and back with its position, a socket gets what came meanwhile and what comes, without a seam."""
    first = Reader(live)
    await first.open()
    task = await tenant.task()
    await wait_until(lambda: first.offsets == [1])
    position = first.connection.reached
    await first.leave()
    await tenant.deliver(callback(task, "running"), chunk(task, "a"), chunk(task, "b"))
    second = Reader(live)
    await second.open(position)
    tenant.report(chunk(task, "c"), callback(task, "completed"))
    await wait_until(lambda: second.frames and second.frames[-1]["type"] == "agent_response")
    assert [position.offset, *second.offsets][-1] == 6
    assert second.frames[0]["position"].split(":")[1].startswith("2-")
    assert second.frames[-1]["data"]["response"] == "abc"
    await second.leave()


async def test_long_backlog(live: Parts, tenant: Tenant) -> None:
    """A backlog of several pages is read page by page, while events go on to come."""
    task = await tenant.task()
    for _ in range(20):
        await tenant.deliver(*[callback(task, "progress", {"n": 1})] * 120)
    reader = Reader(live)
    await reader.open("earliest")
    tenant.report(*[callback(task, "progress", {"n": 2})] * 50)
    await wait_until(lambda: len(reader.frames) == 2 + 2_400 + 50)
    assert reader.offsets == list(range(1, 2_453))
    await reader.leave()


async def test_missed_batch(live: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the channel did not bring is read from the log when the next one shows the hole, or the check does."""
    reader = Reader(live)
    await reader.open()
    task = await tenant.task()
    await wait_until(lambda: reader.offsets == [1])
    monkeypatch.setattr(live, "on_message", lambda *_: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    await tenant.deliver(callback(task, "running"), chunk(task, "a"))
    tops = await tenant.touch("sess-1")
    live.manager.check(tenant.name, ["sess-1"], tops)
    await wait_until(lambda: reader.offsets == [1, 2, 3])
    await tenant.deliver(chunk(task, "b"))
    monkeypatch.undo()
    await tenant.deliver(chunk(task, "c"))
    await wait_until(lambda: reader.offsets[-1] == 5)
    assert "".join(f["data"]["delta"] for f in reader.frames if f["type"] == "agent_chunk") == "abc"
    await reader.leave()


async def test_too_large_for_the_channel(live: Parts, tenant: Tenant) -> None:
    """A large event is announced without its content, and read from the log."""
    reader = Reader(live)
    await reader.open()
    task = await tenant.task()
    tenant.report(callback(task, "completed", {"response": "x" * 900_000}))
    await wait_until(lambda: reader.frames and reader.frames[-1]["type"] == "agent_response")
    assert len(reader.frames[-1]["data"]["response"]) == 900_000
    assert reader.offsets == [1, 2]
    await reader.leave()


async def test_epoch_that_ended(live: Parts, tenant: Tenant) -> None:
    """Where the log begins anew its readers are sent away, to resume and be told so."""
    reader = Reader(live)
    await reader.open()
    await tenant.task()
    await wait_until(lambda: reader.offsets == [1])
    position = reader.connection.reached
    tenant.client.delete(tenant.key("session:sess-1"))
    await tenant.task()
    await wait_until(lambda: reader.closed)
    assert reader.closed is not None
    assert reader.closed[0] == 1011
    opened, _ = await tenant.open(position)
    assert not opened.recovered


async def test_refused(live: Parts, tenant: Tenant) -> None:
    """A socket that may not follow the session is not registered, and neither is one too many."""
    reader, further = Reader(live), Reader(live)
    await reader.open(sockets_max=1)
    assert await further.open(sockets_max=1) == "too_many_connections"
    assert (live.manager.count, live.manager.connections()) == (1, [reader.connection])
    await reader.leave()
    assert await further.open(sockets_max=1) == "opened"
    await further.leave()
    assert live.manager.count == 0


async def test_peer_that_has_gone(live: Parts, tenant: Tenant) -> None:
    """A peer that left in the middle of a frame ends its writer, without a goodbye."""
    reader = Reader(live)
    await reader.open()
    reader.gone = True
    await tenant.task()
    assert reader.writing is not None
    await asyncio.wait_for(reader.writing, 5)
    assert reader.closed is None
    live.manager.detach(reader.connection)


async def test_delivered_endings_are_told(live: Parts, tenant: Tenant) -> None:
    """What ends a task is told to the settlements when it was written, with its offset."""
    reader = Reader(live)
    told: list[int] = []
    reader.connection.on_ending_sent = lambda _connection, offset: told.append(offset)
    await reader.open()
    task = await tenant.task()
    tenant.report(callback(task, "running"), callback(task, "completed"))
    await wait_until(lambda: told)
    assert told == [3]
    await reader.leave()


async def test_unused_channel(live: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel is heard from the first socket of a tenant until a while after the last."""
    channel = tenant.broker.keys.events(tenant.name)

    def heard() -> bool:
        return bool(tenant.client.execute_command("PUBSUB", "SHARDNUMSUB", channel)[1])

    assert not heard()
    reader = Reader(live)
    await reader.open()
    assert heard()
    await reader.leave()
    await live.manager.give_up_unused()
    assert heard()
    monkeypatch.setattr(websocket_manager, "UNUSED_CHANNEL_SECONDS", -1.0)
    await live.manager.give_up_unused()
    await wait_until(lambda: not heard())
    again = Reader(live)
    await again.open(Position("x", 0))
    assert heard()
    await again.leave()


async def watched(live: Parts, tenant: Tenant) -> list[str]:
    """The sessions that are checked often, after such a check."""
    for name, sessions in live.manager.sessions_to_check(busy=True):
        live.manager.check(name, sessions, await tenant.touch(*sessions))
    found = list(live.manager.sessions_to_check(busy=True))
    return sorted(found[0][1]) if found else []


async def test_busy_sessions(live: Parts, tenant: Tenant) -> None:
    """Sessions with a task under way are checked more often than those without, until the last of them has ended."""
    reader, other = Reader(live), Reader(live, "sess-2")
    for one in (reader, other):
        await one.open()
    assert await watched(live, tenant) == []
    first, second = await tenant.task(), await tenant.task()
    await wait_until(lambda: len(reader.frames) == 2)
    assert await watched(live, tenant) == ["sess-1"]
    assert [sorted(names) for _, names in live.manager.sessions_to_check(busy=False)] == [
        ["sess-1", "sess-2"]
    ]
    for number, task in enumerate((second, first)):
        tenant.report(callback(task, "completed"))
        await wait_until(lambda: len(reader.frames) == 3 + number)  # noqa: B023
        assert await watched(live, tenant) == ["sess-1"][: 1 - number]
    for one in (reader, other):
        await one.leave()


async def test_busy_before_the_socket_came(live: Parts, tenant: Tenant) -> None:
    """A session whose task began before anybody followed it is checked as often."""
    await tenant.task()
    reader = Reader(live)
    await reader.open()
    assert await watched(live, tenant) == ["sess-1"]
    assert reader.frames == []
    await reader.leave()


async def test_a_check_that_was_overtaken(live: Parts, tenant: Tenant) -> None:
    """What a check read before a task came does not make its session an idle one."""
    reader = Reader(live)
    await reader.open()
    before = await tenant.touch("sess-1")
    await tenant.task()
    await wait_until(lambda: len(reader.frames) == 1)
    live.manager.check(tenant.name, ["sess-1"], before)
    assert list(live.manager.sessions_to_check(busy=True)) == [(tenant.name, ["sess-1"])]
    await reader.leave()
