"""A worker's tests need the other side of its queues."""

from collections.abc import AsyncIterator

import pytest
from tests.worker.service import Service

from orchestrator.embedded import ValkeyServer
from orchestrator.worker import AgentWorker


@pytest.fixture
async def service(valkey: ValkeyServer) -> AsyncIterator[Service]:
    """The service's side of the queues."""
    async with Service(valkey.port) as service:
        yield service


@pytest.fixture
def worker(valkey: ValkeyServer) -> AgentWorker:
    """A worker without agents; the test declares them and runs it."""
    return AgentWorker(concurrency=4, redis_url=valkey.url)
