"""Endings that reached a socket, and those that were acknowledged, are noted in few calls (contract §5)."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.broker.tenant import Tenant, callback
from tests.delivery.parts import Parts
from tests.servers import wait_until

from orchestrator.broker.connection import Unavailable
from orchestrator.broker.logs import Logs, Settled
from orchestrator.protocol.events import SessionName


async def ended(tenant: Tenant, count: int) -> tuple[SessionName, list[str]]:
    """So many ended tasks of a session."""
    tasks = [await tenant.task() for _ in range(count)]
    await tenant.deliver(*[callback(task, "completed") for task in tasks])
    return SessionName(tenant.name, "sess-1", (await tenant.open("live"))[0].epoch), tasks


async def test_noted(parts: Parts, tenant: Tenant) -> None:
    """What was delivered and what was acknowledged appear in the timelines."""
    name, (first, second) = await ended(tenant, 2)
    running = asyncio.create_task(parts.settlements.run())
    parts.settlements.delivered(name, 4)
    parts.settlements.acknowledged(name, 3)
    await wait_until(lambda: tenant.client.hexists(tenant.key(f"task:{second}"), "delivered_at"))
    running.cancel()
    assert "acknowledged_at" in await tenant.record(first)
    assert "acknowledged_at" not in await tenant.record(second)


async def test_collected(parts: Parts, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes of a tenant are one call with the highest of each session; Redis away is no error, and not the end."""
    calls: list[Sequence[Settled]] = []

    async def settle(_self: Logs, _tenant: str, settled: Sequence[Settled]) -> None:
        calls.append(settled)
        if len(calls) == 1:
            raise Unavailable("away")

    monkeypatch.setattr(Logs, "settle", settle)
    name = SessionName(tenant.name, "sess-1", "e")
    for offset in (3, 9, 5):
        parts.settlements.delivered(name, offset)
    parts.settlements.acknowledged(name, 4)
    parts.settlements.delivered(SessionName(tenant.name, "sess-2", "e"), 2)
    await parts.settlements.flush()
    await parts.settlements.flush()
    parts.settlements.delivered(name, 10)
    await parts.settlements.flush()
    assert calls == [[("sess-1", "e", 9, 4), ("sess-2", "e", 2, 0)], [("sess-1", "e", 10, 0)]]
