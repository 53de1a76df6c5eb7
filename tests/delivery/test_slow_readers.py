"""Sockets that read slowly, and what comes from a backlog: one costs nobody else anything (DESIGN §3.7, §3.8)."""

import asyncio

import pytest
from tests.broker.tenant import Tenant, callback, chunk
from tests.delivery.parts import Parts, Reader
from tests.servers import wait_until

from orchestrator.broker.connection import Unavailable
from orchestrator.broker.logs import Logs
from orchestrator.delivery import connection as connection_module
from orchestrator.delivery import websocket_manager
from orchestrator.protocol.position import parse_position
from orchestrator.protocol.subscriber import QUEUED_BYTES_MAX


async def test_slow_reader(live: Parts, tenant: Tenant) -> None:
    """Who does not read keeps a bounded queue and delays nobody; when he reads again, his chunks come merged."""
    slow, quick = Reader(live), Reader(live)
    for reader in (slow, quick):
        await reader.open()
    slow.gate.clear()
    task = await tenant.task()
    for number in range(60):
        await tenant.deliver(*[chunk(task, "x" * 5_000, number * 4 + n) for n in range(4)])
    await wait_until(lambda: quick.offsets[-1:] == [242])
    assert slow.connection.state == "replay"
    waiting = slow.connection.subscriber.waiting
    assert sum(len(frame) for frame, _ in waiting) <= QUEUED_BYTES_MAX
    slow.gate.set()
    await wait_until(lambda: slow.offsets[-1:] == [242])
    text = "".join(f["data"]["delta"] for f in slow.frames if f["type"] == "agent_chunk")
    assert text == "x" * 5_000 * 240
    assert len(slow.frames) < 100 < len(quick.frames)
    for reader in (slow, quick):
        await reader.leave()


async def test_too_slow(live: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes nothing of what is sent for the allowed time is closed with 4408; who has nothing to take is not."""
    slow, idle = Reader(live), Reader(live, "sess-2")
    for reader in (slow, idle):
        await reader.open()
    slow.gate.clear()
    await tenant.task()
    await wait_until(lambda: slow.connection.unread_for(asyncio.get_running_loop().time()) > 0)
    live.manager.close_overdue()
    assert slow.connection.closing is None
    monkeypatch.setattr(connection_module, "UNREAD_SECONDS_MAX", 0.0)
    live.manager.close_overdue()
    await wait_until(lambda: slow.closed)
    assert slow.closed == (4408, "too slow: reconnect with position")
    assert idle.closed is None
    await idle.leave()


async def test_too_slow_comes_back(live: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was closed with 4408 gets the rest from where it stopped to read: merged, without a seam."""
    slow = Reader(live)
    await slow.open()
    task = await tenant.task()
    tenant.report(chunk(task, "0 ", 0))
    await wait_until(lambda: slow.offsets[-1:] == [3])
    slow.gate.clear()
    tenant.report(*(chunk(task, f"{number} ", number) for number in range(1, 50)))
    await wait_until(lambda: slow.connection.unread_for(asyncio.get_running_loop().time()) > 0)
    monkeypatch.setattr(connection_module, "UNREAD_SECONDS_MAX", 0.0)
    live.manager.close_overdue()
    await wait_until(lambda: slow.closed)
    await slow.leave()

    again = Reader(live)
    position = parse_position(slow.frames[-1]["position"])
    assert position
    await again.open(position)
    await wait_until(lambda: again.offsets[-1:] == [52])
    assert again.frames[0]["covers"] > 1
    assert int(again.frames[0]["position"].split(":")[1].split("-")[0]) == 3 + again.frames[0]["covers"]
    shown = [frame["data"]["delta"] for frame in slow.frames + again.frames if frame["type"] == "agent_chunk"]
    assert "".join(shown) == "".join(f"{number} " for number in range(50))
    await again.leave()


async def test_log_that_cannot_be_read(live: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis is away a reader waits and reads on after."""
    monkeypatch.setattr(connection_module, "_RETRY_SECONDS", 0.01)
    read, failures = Logs.read, [Unavailable("away"), Unavailable("away")]

    async def failing(self: Logs, *args: object) -> object:
        if failures:
            raise failures.pop()
        return await read(self, *args)  # type: ignore[arg-type]

    reader = Reader(live)
    await reader.open()
    monkeypatch.setattr(Logs, "read", failing)
    reader.connection.missed(1)
    await tenant.task()
    await wait_until(lambda: reader.offsets == [1])
    assert not failures
    await reader.leave()


async def test_message_from_a_backlog(live: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from a backlog is written a little later, or together with the next small message."""
    monkeypatch.setattr(websocket_manager, "BACKLOG_EVENTS", 3)
    monkeypatch.setattr(websocket_manager, "BACKLOG_SECONDS", 60.0)
    reader = Reader(live)
    await reader.open()
    task = await tenant.task()
    await wait_until(lambda: reader.offsets == [1])
    await tenant.deliver(callback(task, "running"), chunk(task, "a"), chunk(task, "b"))
    await wait_until(lambda: reader.connection.announced == 4)
    assert reader.offsets == [1]
    await tenant.deliver(callback(task, "completed"))
    await wait_until(lambda: reader.offsets == [1, 2, 3, 4, 5])
    await reader.leave()


async def test_backlog_that_ends(live: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last message of a backlog is written though none follows; a reader who has much to get does not wait."""
    monkeypatch.setattr(websocket_manager, "BACKLOG_EVENTS", 1)
    reader = Reader(live)
    await reader.open()
    task = await tenant.task()
    await tenant.deliver(*[chunk(task, "x" * 10_000)] * 3)
    await wait_until(lambda: reader.offsets == [1, 2, 3, 4, 5])
    monkeypatch.setattr(websocket_manager, "BACKLOG_SECONDS", 60.0)
    for _ in range(6):
        await tenant.deliver(*[chunk(task, "x" * 10_000)] * 3)
    await wait_until(lambda: reader.connection.announced == 23)
    assert len(reader.frames) > 12
    assert reader.connection.state == "live"
    await reader.leave()
