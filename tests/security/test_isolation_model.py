"""Random things that random people do: the service agrees with a model of who may see what, and nothing leaks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import redis.asyncio
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.contract.client import Tenant, unique
from tests.security.isolation_model import IsolationModel, World
from tests.security.marks import BOTH
from tests.servers import OrchestratorServer

from orchestrator.embedded import ValkeyServer
from orchestrator.store.store import Store

pytestmark = BOTH

# Without shrinking: that would take longer than a test may, and the steps tell enough.
BOUNDS = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
AMPLE = {"requests_per_minute": 1_000_000, "max_outstanding": 100_000, "max_connections": 10_000}


@asynccontextmanager
async def world(
    runner: asyncio.Runner, server: OrchestratorServer, valkey: ValkeyServer, database_url: str
) -> AsyncGenerator[World]:
    """The service with two tenants whose limits do not come into play."""
    tenants = (
        Tenant(unique("tenant"), "professional", f"agent-{unique('a')}"),
        Tenant(unique("tenant"), "professional", f"agent-{unique('a')}"),
    )
    async with Store(database_url) as store:
        for tenant in tenants:
            await store.create_tenant(tenant.id, "professional", AMPLE)
            await store.create_context(tenant.id, "agent", tenant.agent)
    client: Any = redis.asyncio.Redis(port=valkey.port, decode_responses=True)
    async with client, httpx.AsyncClient(base_url=server.url, timeout=10, trust_env=False) as http:
        yield World(runner, server, http, client, tenants)


def test_nobody_sees_what_is_not_his(
    service: OrchestratorServer, redis_server: ValkeyServer, environment: dict[str, str]
) -> None:
    """Every answer, ledger, view, event and figure belongs to who asked for it."""
    with asyncio.Runner() as runner:
        opened = world(runner, service, redis_server, environment["DATABASE_URL"])
        played = runner.run(opened.__aenter__())

        class OnThisService(IsolationModel):
            """The model on this service."""

            def __init__(self) -> None:
                super().__init__(played)

        try:
            run_state_machine_as_test(OnThisService, settings=BOUNDS)
        finally:
            runner.run(opened.__aexit__(None, None, None))
