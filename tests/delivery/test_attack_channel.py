"""Anyone with access to Redis can publish on a tenant's channel; that must cost nobody his events."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.broker.tenant import callback, raw_client
from tests.contract.client import Caller, Tenant
from tests.contract.socket_client import watch
from tests.servers import OrchestratorServer, orchestrator_server

from orchestrator.embedded import ValkeyServer


@pytest.fixture
def server(valkey: ValkeyServer, tmp_path: Path) -> Iterator[OrchestratorServer]:
    """A server without access validation."""
    settings = {"REDIS_URL": valkey.url, "ORCHESTRATOR_ENABLE_ACCESS_VALIDATION": "false"}
    with orchestrator_server(settings, tmp_path / "server.log") as started:
        yield started


def garbage(session: str) -> Iterator[bytes]:
    """Messages that no script publishes."""
    yield b""
    yield b"\xff" * 20
    for lengths in ([5], [-1], [2**40]):
        index = msgspec.msgpack.encode([[session, "epoch", 1, lengths]])
        yield len(index).to_bytes(4) + index + b"\xff" * 5


async def test_garbage_on_the_channel(server: OrchestratorServer, valkey: ValkeyServer) -> None:
    """The service hears on, the same connection, and its readers get what comes after."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        caller = Caller(http, Tenant("acme", "free", "agent-1"))
        with raw_client(valkey.port) as client:
            async with watch(server, caller) as socket:
                heard_by = {row["id"] for row in client.client_list() if int(row["ssub"]) > 0}
                for message in garbage(caller.session_id):
                    client.spublish("{orchestrator:acme:callbacks}:events", message)
                task = (await caller.accepted())["task_id"]
                client.lpush("orchestrator:acme:callbacks", callback(task, "completed", {"response": "Hi"}))
                assert (await socket.ending(task))["data"]["response"] == "Hi"
                assert {row["id"] for row in client.client_list() if int(row["ssub"]) > 0} == heard_by
        assert server.ready()
