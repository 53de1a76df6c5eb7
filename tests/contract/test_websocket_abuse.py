"""Clients that misbehave are told so, and cost nobody else anything (contract §4)."""

import asyncio
import json
import re
import socket as sockets
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.contract.client import Agent, Caller
from tests.contract.conftest import NewTenant, StartService
from tests.contract.exchange import asked, say, settle
from tests.contract.socket_client import Closed, Socket, closing, dial, socket_url, watch
from tests.servers import OrchestratorServer, wait_until
from websockets.exceptions import ConnectionClosed

MIB = 1024 * 1024


def retry_after(reason: str) -> int:
    """What the JSON reason of 4429 asks for; nothing else is in it."""
    members: dict[str, Any] = json.loads(reason)
    assert members.keys() == {"retry_after_ms"}
    return members["retry_after_ms"]


async def test_binary_frames(service: OrchestratorServer, caller: Caller) -> None:
    """A binary frame closes with 1003, also one that holds a valid frame."""
    for data in (b"\x00\x01", b'{"type":"ping"}', b""):
        async with watch(service, caller) as socket:
            await socket.connection.send(data)
            assert (await socket.closing())[0] == 1003


async def test_text_that_is_not_utf8(service: OrchestratorServer, caller: Caller) -> None:
    """A text frame that is not UTF-8 closes with 1007."""
    for data in (b"\xff\xfe", b'{"type":"ping","x":"\xc0\xaf"}', b"\xed\xa0\x80"):
        async with watch(service, caller) as socket:
            await socket.connection.send(data, text=True)
            assert (await socket.closing())[0] == 1007


@pytest.mark.parametrize("fragments", [1, 70])
async def test_a_frame_that_is_too_long(
    service: OrchestratorServer, caller: Caller, agent: Agent, fragments: int
) -> None:
    """70 KiB close with 1009, in one piece or in many; 64 KiB do not."""
    async with watch(service, caller) as socket:
        send = {"type": "send", "agent_id": caller.tenant.agent, "message": "Hi", "metadata": {"pad": ""}}
        send["metadata"] = {"pad": "x" * (64 * 1024 - len(json.dumps(send)))}
        assert len(json.dumps(send)) == 64 * 1024
        assert (await socket.answer(send))["type"] == "accepted"
        await socket.connection.send(["x" * (70 * 1024 // fragments)] * fragments)
        assert (await socket.closing())[0] == 1009
    await agent.take()


async def test_the_others_go_on(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """What closes one socket of a session leaves the other one open."""
    async with watch(service, caller) as good, watch(service, caller) as bad:
        await bad.connection.send(b"\x00")
        assert (await bad.closing())[0] == 1003
        _, task = await asked(caller, agent)
        await agent.complete(task)
        assert (await good.ending(task["task_id"]))["type"] == "agent_response"


async def test_a_thousand_frames_a_second(service: OrchestratorServer, caller: Caller) -> None:
    """Far above `messages_per_second`: closed with 4429 and when to come back."""
    async with watch(service, caller) as socket:
        flood = asyncio.create_task(flooded(socket, json.dumps({"type": "subscribe", "events": ["*"]}), 1000))
        code, reason = await socket.closing()
        await flood
    assert code == 4429
    assert retry_after(reason) > 0


async def flooded(socket: Socket, text: str, times: int) -> None:
    """Sends as fast as the connection takes it, until it is closed."""
    for _ in range(times):
        try:
            await socket.connection.send(text)
        except ConnectionClosed:
            return


async def test_the_budget_is_two_seconds_worth(
    service: OrchestratorServer, new_tenant: NewTenant, http: httpx.AsyncClient
) -> None:
    """A free tenant's socket may send 10 frames at once, and is still served."""
    caller = Caller(http, await new_tenant("free"))
    async with watch(service, caller) as socket:
        for _ in range(10):
            await socket.send({"type": "subscribe", "events": ["*"]})
        answers = [(await socket.frame())["type"] for _ in range(10)]
    assert answers == ["subscribed"] * 10


async def test_pings_and_acks_have_a_budget_of_their_own(
    service: OrchestratorServer, new_tenant: NewTenant, http: httpx.AsyncClient
) -> None:
    """Where the budget for frames is used up, `ping` and `ack` still work."""
    caller = Caller(http, await new_tenant("free"))
    async with watch(service, caller) as socket:
        for _ in range(10):
            await socket.answer({"type": "subscribe", "events": ["*"]})
        await socket.send({"type": "ack", "position": socket.ack["position"]})
        for _ in range(3):
            assert (await socket.answer({"type": "ping"}))["type"] == "pong"


async def test_their_budget_ends_too(service: OrchestratorServer, caller: Caller) -> None:
    """Nobody may send pings without end: 4429."""
    async with watch(service, caller) as socket:
        flood = asyncio.create_task(flooded(socket, '{"type":"ping"}', 5000))
        code, reason = await socket.closing()
        await flood
    assert code == 4429
    assert retry_after(reason) > 0


def memory_of(server: OrchestratorServer) -> int:
    """Bytes that the process holds in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found, status
    return int(found[1]) * 1024


def deaf(server: OrchestratorServer) -> sockets.socket:
    """A connection that takes almost nothing which is not read at once."""
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.setblocking(False)
    return connection


async def test_a_slow_reader_costs_little(service: OrchestratorServer, caller: Caller, agent: Agent) -> None:
    """64 MiB for one who does not read: memory stays flat, and who reads gets every event at once.

    Reading again, the slow one finds no hole: it catches up, or is closed and told by its code to resume.
    """
    piece = {"pad": "x" * (512 * 1024)}
    options = {"sock": deaf(service), "max_queue": 1}
    async with watch(service, caller, options=options) as slow, watch(service, caller) as quick:
        _, task = await asked(caller, agent)
        before = memory_of(service)
        for _ in range(128):
            await agent.report(task, "progress", result=piece)
            await quick.until("task_update", status="progress")
        assert memory_of(service) - before < 48 * MIB
        await agent.complete(task)
        await quick.ending(task["task_id"])
        try:
            await slow.ending(task["task_id"])
        except Closed:
            assert slow.connection.close_code != 1000  # "done" would tell it not to come back


async def test_a_lagging_reader_gets_merged_chunks(
    service: OrchestratorServer, caller: Caller, agent: Agent
) -> None:
    """Where a reader lags, chunks of a task may be merged; its text and its sum stay whole."""
    pieces = [f"{number:>4} {'x' * 4000}" for number in range(600)]
    options = {"sock": deaf(service), "max_queue": 1}
    async with watch(service, caller, options=options) as slow:
        _, task = await asked(caller, agent)
        await say(agent, task, pieces)
        await settle(Caller(caller.http, caller.tenant), agent)
        await agent.complete(task)
        await slow.ending(task["task_id"])
    shown = "".join(frame["data"]["delta"] for frame in slow.events if frame["type"] == "agent_chunk")
    assert "".join(pieces).startswith(shown)


async def test_a_silent_peer_is_gone(start_service: StartService, caller: Caller) -> None:
    """Silent for ping interval + timeout: dropped, and its place with it; who answers pings stays."""
    server = start_service(websocket_ping_interval="0.5", websocket_ping_timeout="0.5")
    url = socket_url(server, caller.session_id, tenant_id=caller.tenant.id, tier=caller.tenant.tier)
    async with (
        httpx.AsyncClient(base_url=server.url) as http,
        watch(server, caller) as quiet,
        dial(url) as silent,
    ):
        await silent.recv()
        silent.transport.pause_reading()

        async def total() -> int:
            return (await http.get("/ws/stats")).json()["total"]

        assert await total() == 2

        async def one_is_gone() -> bool:
            return await total() == 1

        await wait_until(one_is_gone)
        silent.transport.resume_reading()
        assert (await closing(silent))[0] == 1006
        assert quiet.ack["ping_interval"] == 0.5
        assert (await quiet.answer({"type": "ping"}))["type"] == "pong"
