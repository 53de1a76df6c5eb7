"""Callbacks of agents on their way: together for the same queue, in order, again while Redis is away."""

import asyncio
from typing import Any

from tests.servers import wait_until

from orchestrator.broker.agent_reports import PUSHED_AT_ONCE, AgentReports
from orchestrator.broker.connection import Unavailable
from orchestrator.broker.outages import Outages


class Server:
    """What scripts run at; it answers once `open` is set, or fails as often as it is told to."""

    def __init__(self) -> None:
        self.pushes: list[list[bytes]] = []
        self.failures = 0
        self.open = asyncio.Event()

    async def command(self, _key: str, _name: str, _queue: str, *payloads: bytes) -> int:
        """Push."""
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        self.pushes.append(list(payloads))
        return len(payloads)


def reports_at(server: Any) -> AgentReports:
    """Reports that go there."""
    return AgentReports(server, Outages(lambda _: None))


async def test_what_waits_goes_together() -> None:
    """Many reports for one queue are few pushes, in their order; another queue's do not wait for them."""
    server = Server()
    reports = reports_at(server)
    told = [b"%d" % number for number in range(2 * PUSHED_AT_ONCE)]
    pushing = [asyncio.create_task(reports.push("a", one)) for one in told]
    other = asyncio.create_task(reports.push("b", b"other"))
    server.open.set()
    await asyncio.gather(*pushing, other)
    assert [one for push in server.pushes for one in push if one != b"other"] == told
    assert len(server.pushes) == 3


async def test_away_and_back() -> None:
    """A push that fails is made again, and whoever reported waits for it."""
    server = Server()
    server.failures = 2
    server.open.set()
    await reports_at(server).push("a", b"1")
    assert server.pushes == [[b"1"]]


async def test_cancelled_before_it_left() -> None:
    """Whoever is cancelled while the report still waits has not reported it; the others' go on."""
    server = Server()
    reports = reports_at(server)
    first = asyncio.create_task(reports.push("a", b"first"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    taken_back, kept = (asyncio.create_task(reports.push("a", one)) for one in (b"taken back", b"kept"))
    await asyncio.sleep(0)
    taken_back.cancel()
    server.open.set()
    await asyncio.gather(first, kept)
    await wait_until(taken_back.done)
    assert server.pushes == [[b"first"], [b"kept"]]
