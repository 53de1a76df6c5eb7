"""A broker on each kind of server: a plain Valkey, and one in cluster mode that refuses keys of two slots."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.broker.floor import Floor
from tests.broker.tenant import Tenant, raw_client

from orchestrator.broker.broker import Broker, Keeping
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

KEEPING = Keeping(
    log_ttl_seconds=3_600,
    task_ttl_seconds=86_400,
    log_max_events=10_000,
    log_max_bytes=8 * 2**20,
    max_attempts=3,
    lease_seconds=15,
)

OpenTenant = Callable[..., Tenant]


@pytest.fixture(params=["valkey", "valkey_cluster"])
def server(request: pytest.FixtureRequest) -> ValkeyServer:
    """An empty server of each kind."""
    found: ValkeyServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[Any]:
    """A client for what is done behind the service's back."""
    with raw_client(server.port) as opened:
        yield opened


@pytest.fixture
async def broker(server: ValkeyServer) -> AsyncIterator[Broker]:
    """A broker of the deployment `orchestrator`."""
    async with Broker(server.url, Keys("orchestrator", "orchestrator"), KEEPING) as opened:
        await opened.set_clock()
        yield opened


@pytest.fixture
def tenant(broker: Broker, client: Any) -> Tenant:
    """The tenant `acme`."""
    return Tenant(broker, client)


@pytest.fixture
def floor(broker: Broker, client: Any) -> Floor:
    """The dispatch."""
    return Floor(broker, client)
