"""Many hostile peers at once: memory stays bounded, others are answered, and nothing is left when they have gone."""

import asyncio

import httpx
import pytest
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.conftest import Connect, StartService
from tests.security.hostile_peers import QUICK, Hostile, Watched, crowd, kinds, mixed, streaming
from tests.servers import OrchestratorServer, wait_until

EACH = 20
REPORTS = 20
"""So many are made while all hold on: fewer, and what nobody reads has not yet come to its most."""
MIB = 1024 * 1024
BOUND = 400 * MIB
"""Of all together, nearly four times what was measured: most of it are frames of 256 KiB that nobody reads."""


@pytest.fixture(scope="module")
def quick_service(service_with: StartService) -> OrchestratorServer:
    """A server that finds the dead soon; identity comes from the query."""
    return service_with(**QUICK)


async def besieged(server: OrchestratorServer, caller: Caller, agent: Agent, peers: list[Hostile]) -> int:
    """The most memory that the server had while these held on; /health/live has to be answered throughout."""
    watched, most = Watched(server.process.pid), 0
    said, over = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold_on() -> None:
        with crowd(server.port, peers):
            loop.call_soon_threadsafe(said.set)
            asyncio.run_coroutine_threadsafe(over.wait(), loop).result()

    async def is_over() -> bool:
        nonlocal most
        most = max(most, watched.memory)
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as newcomer:
            assert (await newcomer.get("/health/live")).status_code == 200
        return said.is_set()

    async with streaming(caller, agent) as reported:
        holding = asyncio.create_task(asyncio.to_thread(hold_on))
        try:
            await wait_until(lambda: holding.done() or is_over(), within=60)
            enough = len(reported) + REPORTS

            async def is_reported() -> bool:
                await is_over()
                return len(reported) >= enough

            await wait_until(is_reported, within=60)
        finally:
            # Its thread would outlive the test, and what it has met is what the test should tell.
            over.set()
            await holding
    return most


async def test_a_crowd_of_hostile_peers(
    quick_service: OrchestratorServer, connect: Connect, tenant: Tenant, agent: Agent
) -> None:
    """Some of every kind, twice: bounded while they are there, and the second time costs nothing on top."""
    caller = Caller(connect(quick_service), tenant)
    watched = Watched(quick_service.process.pid)
    before, descriptors = watched.memory, watched.descriptors
    found = kinds(caller.session_id, tenant.id, tenant.tier)
    peers = mixed(found, EACH * len(found))

    first = await besieged(quick_service, caller, agent, peers)
    assert first - before < BOUND
    await wait_until(lambda: watched.descriptors <= descriptors + 10, within=30)
    second = await besieged(quick_service, caller, agent, peers)
    assert second - first < BOUND / 8
    await wait_until(lambda: watched.descriptors <= descriptors + 10, within=30)

    async def none_is_counted() -> bool:  # a descriptor goes before what stood behind it has ended
        figures = (await caller.http.get("/ws/stats", params={"tenant_id": tenant.id})).json()
        return figures["total"] == 0

    await wait_until(none_is_counted, within=30)
