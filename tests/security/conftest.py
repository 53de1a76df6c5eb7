"""Servers of the security tests: those of the contract, with tokens switched on.

They run on a single Valkey; a module that has to hold on a cluster too asks for `BOTH` (see `marks.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.contract.client import Tenant
from tests.contract.conftest import (
    StartService,
    agent,
    connect,
    database,
    http,
    new_context,
    new_tenant,
    orchestrator,
    redis_client,
    service,
    service_with,
    start_service,
    tenant,
    way,
)
from tests.security.entrances import Entrances
from tests.security.minting import HS256
from tests.security.user import User
from tests.servers import OrchestratorServer, valkey_server

from orchestrator.embedded import ValkeyServer

__all__ = [
    "agent",
    "connect",
    "database",
    "http",
    "new_context",
    "new_tenant",
    "orchestrator",
    "redis_client",
    "service",
    "service_with",
    "start_service",
    "tenant",
    "way",
]

EXACT_CLOCK: Final = {"ORCHESTRATOR_JWT_LEEWAY": "0"}
"""One machine has one clock, and a test need not wait for the leeway to pass."""


@pytest.fixture(scope="session", params=["single"])
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    """The Valkey of the tests here."""
    with valkey_server(tmp_path_factory.mktemp("security"), cluster=request.param == "cluster") as server:
        yield server


@pytest.fixture(scope="session")
def environment(redis_server: ValkeyServer, database: Path) -> dict[str, str]:
    """The settings of `service`: tokens of `HS256` are believed, and expire to the second."""
    return {
        "REDIS_URL": redis_server.url,
        "DATABASE_URL": f"sqlite+aiosqlite:///{database}",
        "ORCHESTRATOR_JWT_SECRET": HS256.settings["jwt_secret"],
        **EXACT_CLOCK,
    }


@pytest.fixture(scope="session")
def header_service(service_with: StartService) -> OrchestratorServer:
    """A server without a key: identity comes from the headers."""
    return service_with(jwt_secret="", jwt_leeway="")


@pytest.fixture
def user(http: httpx.AsyncClient, tenant: Tenant) -> User:
    """Ada of the test's tenant, in a session of her own."""
    return User(http, tenant)


@pytest.fixture
def entrances(service: OrchestratorServer, http: httpx.AsyncClient, tenant: Tenant) -> Entrances:
    """The ways into `service`, with the test's tenant."""
    return Entrances(service, http, tenant)
