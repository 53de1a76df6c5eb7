"""One deployment with a proxy on each side: client -> `front` -> service -> `between` -> Valkey.

Its servers are shared by the tests here, so each test heals what it broke; `whole` waits until the service says so.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.contract.client import Agent, Caller, Tenant
from tests.contract.conftest import (
    connect,
    database,
    new_tenant,
    redis_client,
    service,
    start_service,
    tenant,
    way,
)
from tests.faults.proxy import Proxy, proxy
from tests.faults.redis_faults import USER, harmless, set_user
from tests.servers import OrchestratorServer, valkey_server, wait_until

from orchestrator.embedded import ValkeyServer

__all__ = ["connect", "database", "new_tenant", "redis_client", "service", "start_service", "tenant", "way"]

HEALED_WITHIN: Final = 30.0


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """The Valkey that the tests here harm."""
    with valkey_server(tmp_path_factory.mktemp("faults"), options=harmless()) as server:
        set_user(server)
        yield server


@pytest.fixture(scope="session")
def between(redis_server: ValkeyServer) -> Iterator[Proxy]:
    """The network between service and Valkey."""
    with proxy(redis_server.port, redis=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def environment(between: Proxy, database: Path) -> dict[str, str]:
    """The settings of `service`: a user of its own in Valkey, and pings that are soon missed."""
    return {
        "REDIS_URL": f"redis://{USER}@127.0.0.1:{between.port}/0",
        "DATABASE_URL": f"sqlite+aiosqlite:///{database}",
        "ORCHESTRATOR_WEBSOCKET_PING_INTERVAL": "1",
        "ORCHESTRATOR_WEBSOCKET_PING_TIMEOUT": "1",
    }


@pytest.fixture
async def http(service: OrchestratorServer) -> AsyncIterator[httpx.AsyncClient]:
    """Requests to the service, and patience enough to see a late answer as one."""
    async with httpx.AsyncClient(base_url=service.url, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
async def whole(
    redis_server: ValkeyServer, between: Proxy, http: httpx.AsyncClient
) -> AsyncIterator[httpx.AsyncClient]:
    """The deployment without a fault, before the test and, by itself, after it."""
    await wait_until(lambda: is_well(http), HEALED_WITHIN)
    yield http
    between.heal()
    await wait_until(lambda: is_well(http), HEALED_WITHIN)


@pytest.fixture
def caller(whole: httpx.AsyncClient, tenant: Tenant) -> Caller:
    """A frontend of a new tenant."""
    return Caller(whole, tenant)


@pytest.fixture
def agent(redis_client: Any, tenant: Tenant) -> Agent:
    """The agent of that tenant; no fault of the network is its."""
    return Agent(redis_client, tenant)


async def is_well(http: httpx.AsyncClient) -> bool:
    """Whether the service says that it is healthy and ready."""
    health, ready = await http.get("/health"), await http.get("/health/ready")
    return health.json() == {"status": "healthy"} and ready.json() == {"status": "ready"}
