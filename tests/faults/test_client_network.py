"""The network between client and service: who vanished is let go, and comes back to where it was (contract §4)."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.socket_client import watch
from tests.faults.proxy import Proxy, proxy
from tests.servers import OrchestratorServer, wait_until

IMPATIENT: Final = {"close_timeout": 0.1}
"""Nobody is there to say goodbye to."""


@pytest.fixture
def front(service: OrchestratorServer) -> Iterator[Proxy]:
    """The network before the service."""
    with proxy(service.port) as opened:
        yield opened


async def test_half_open_socket(
    service: OrchestratorServer, front: Proxy, caller: Caller, agent: Agent, tenant: Tenant
) -> None:
    """A client that vanished without an end is closed by the ping timeout; back with its position it misses nothing."""
    through: Any = SimpleNamespace(ws_url=f"ws://127.0.0.1:{front.port}")

    async def sockets() -> int:
        answer = await caller.http.get("/ws/stats", params={"tenant_id": tenant.id})
        return answer.json()["total"]

    sent = await caller.accepted()
    task = await agent.take()
    async with watch(through, caller, sent["position"], options=IMPATIENT) as vanished:
        await agent.report(task, "streaming", result={"delta": "one "}, seq=0)
        await vanished.until("agent_chunk")
        assert await sockets() == 1
        front.swallow()
        await agent.report(task, "streaming", result={"delta": "two "}, seq=1)

        async def let_go() -> bool:
            return await sockets() == 0

        await wait_until(let_go, 15)
        await agent.report(task, "streaming", result={"delta": "three"}, seq=2)
        front.heal()
        async with watch(through, caller, vanished.last) as back:
            await agent.complete(task, "one two three")
            ending = await back.ending(sent["task_id"])
            assert back.ack["recovered"] is True
            assert ending["data"]["response"] == "one two three"
    offsets = [event["position"] for event in vanished.events + back.events]
    assert len(set(offsets)) == len(offsets)
