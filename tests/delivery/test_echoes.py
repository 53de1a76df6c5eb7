"""What our own taking rings is no push, and hides none (DESIGN §3.3)."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.broker.tenant import Tenant
from tests.delivery.parts import Parts
from tests.delivery.scripted import Scripted
from tests.servers import wait_until

from orchestrator.broker.connection import Unavailable
from orchestrator.delivery import callback_worker
from orchestrator.delivery.callback_handler import Handled


@pytest.mark.parametrize("hidden", [0, 1])
async def test_echo_of_our_own_taking(parts: Parts, scripted: Scripted, tenant: Tenant, hidden: int) -> None:
    """What we took rings as well; a push in the same turn of the server may hide in that: then it is taken, later."""
    scripted.gate.set()
    scripted.answers = [Handled([], [], took=frozenset({tenant.name}))]
    asked = asyncio.Event()
    is_any_left = parts.handler.is_any_left

    async def ask(tenants: list[str]) -> bool:
        try:
            return await is_any_left(tenants)
        finally:
            asked.set()

    parts.handler.is_any_left = ask
    async with parts.pumping():
        parts.worker.hear(tenant.name)
        await parts.worker.settled(tenant.name)
        tenant.report(*[b"{}"] * hidden)
        parts.worker.hear(tenant.name)
        assert scripted.calls == [[tenant.name]]
        await asked.wait()
        await wait_until(lambda: len(scripted.calls) == 1 + hidden)
        await parts.worker.settled(tenant.name)
    assert len(scripted.calls) == 1 + hidden


async def test_echo_while_redis_is_away(
    parts: Parts, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody knows whether a push hides in our own taking, it is looked at."""
    scripted.gate.set()
    scripted.answers = [Handled([], [], took=frozenset("a"))]

    async def away(_tenants: list[str]) -> bool:
        raise Unavailable("away")

    monkeypatch.setattr(parts.handler, "is_any_left", away)
    async with parts.pumping():
        parts.worker.hear("a")
        await parts.worker.settled("a")
        parts.worker.hear("a")
        await wait_until(lambda: scripted.calls == [["a"], ["a"]])


async def test_echoes_of_tenants_taken_together(
    parts: Parts, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked for together, without those that were called for again meanwhile."""
    over: list[Callable[[], None]] = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(seconds: float, callback: Callable[..., None], *args: Any) -> object:
        if seconds == callback_worker.ECHO_SECONDS:
            return over.append(partial(callback, *args))
        return later(seconds, callback, *args)

    asked: asyncio.Queue[list[str]] = asyncio.Queue()

    async def ask(tenants: list[str]) -> bool:
        asked.put_nowait(tenants)
        return False

    monkeypatch.setattr(loop, "call_later", call_later)
    monkeypatch.setattr(parts.handler, "is_any_left", ask)
    scripted.answers = [Handled([], [], took=frozenset("abc")), Handled([], [], took=frozenset("a"))]
    parts.worker.ring_all("abc")
    async with parts.pumping():
        await wait_until(lambda: len(scripted.calls) == 1)
        for tenant in "abc":
            parts.worker.hear(tenant)
        scripted.gate.set()
        await parts.worker.settled("a")
        parts.worker.ring("a")
        await parts.worker.settled("a")
        first, of_the_second_call = over
        first()
        assert await asyncio.wait_for(asked.get(), 10) == ["b", "c"]
        parts.worker.hear("a")
        of_the_second_call()
        assert await asyncio.wait_for(asked.get(), 10) == ["a"]
    assert scripted.calls == [["a", "b", "c"], ["a"]]


@pytest.mark.parametrize("heard", [0, 1])
async def test_push_after_our_own_taking(
    parts: Parts, scripted: Scripted, heard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ring more than we have made ourselves is a push, and is not kept waiting."""
    monkeypatch.setattr(callback_worker, "ECHO_SECONDS", 60.0)
    scripted.answers = [Handled([], [], took=frozenset("a"))]
    async with parts.pumping():
        parts.worker.hear("a")
        await wait_until(lambda: scripted.calls == [["a"]])
        for _ in range(heard):
            parts.worker.hear("a")
        scripted.gate.set()
        await parts.worker.settled("a")
        for _ in range(2 - heard):
            parts.worker.hear("a")
        await wait_until(lambda: scripted.calls == [["a"], ["a"]])
