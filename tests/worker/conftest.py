"""A worker's tests need the other side of its queues."""

from collections.abc import AsyncIterator

import pytest
from tests.worker.service import Service
from tests.worker.supervisor import Supervisor

from orchestrator.broker.agent_queues import AgentQueues
from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker


@pytest.fixture
def server(valkey: ValkeyServer) -> ValkeyServer:
    """Where the queues are; a file of tests may have another."""
    return valkey


@pytest.fixture
async def service(server: ValkeyServer) -> AsyncIterator[Service]:
    """The service's side of the queues."""
    async with Service(server.port) as service:
        yield service


@pytest.fixture
async def supervisor(server: ValkeyServer) -> AsyncIterator[Supervisor]:
    """The service's side of dispatch."""
    async with AgentQueues(server.url, print) as queues:
        yield Supervisor(queues)


@pytest.fixture
def worker(server: ValkeyServer) -> AgentWorker:
    """A worker without agents; the test declares them and runs it."""
    return AgentWorker(concurrency=4, redis_url=server.url)
