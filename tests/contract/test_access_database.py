"""The database behind access validation: away, slow, and changed while it is being asked (contract §6)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.contract.client import Caller, Tenant, problem, unique
from tests.contract.conftest import Command, Connect, StartService
from tests.contract.gate import Gate, gate
from tests.contract.test_outages import healthy, refused_in_time
from tests.servers import wait_until

from orchestrator.store.schema import upgrade
from orchestrator.store.store import Store


def through(door: Gate, postgres_url: str) -> str:
    """The same database, reached through the gate."""
    return f"postgresql+psycopg://postgres:@127.0.0.1:{door.port}{urlsplit(postgres_url).path}"


async def created(postgres_url: str, *tenants: Tenant) -> None:
    """The schema, and these tenants with their agents."""
    async with Store(postgres_url) as store:
        await upgrade(store)
        for tenant in tenants:
            await store.create_tenant(tenant.id, "professional")
            await store.create_context(tenant.id, "agent", tenant.agent)


def somebody() -> Tenant:
    """A tenant that is in no database yet."""
    return Tenant(unique("tenant"), "professional", f"agent-{unique('a')}")


@pytest.fixture
async def database_door(postgres_url: str) -> AsyncIterator[Gate]:
    """A gate in front of Postgres, for the service."""
    async with postgres_gate(postgres_url) as door:
        yield door


@asynccontextmanager
async def postgres_gate(postgres_url: str) -> AsyncGenerator[Gate]:
    """One more gate in front of it."""
    folder = parse_qs(urlsplit(postgres_url).query)["host"][0]
    async with gate(lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")) as door:
        yield door


async def test_the_database_is_away(
    postgres_url: str, database_door: Gate, start_service: StartService, connect: Connect
) -> None:
    """Cached answers go on; nobody new gets in (503); health is `degraded`, and the probes stay green."""
    known, unknown = somebody(), somebody()
    await created(postgres_url, known, unknown)
    url = through(database_door, postgres_url)
    http = connect(await asyncio.to_thread(start_service, database_url=url))
    await Caller(http, known).accepted()
    database_door.shut()
    await Caller(http, known).accepted()
    await refused_in_time(Caller(http, unknown), "unavailable")
    await refused_in_time(Caller(http, known._replace(agent=unknown.agent)), "unavailable")

    async def degraded() -> bool:
        answer = await http.get("/health")
        return answer.json() == {"status": "degraded", "failing": ["database"]} and answer.status_code == 200

    await wait_until(degraded, within=15)
    assert (await http.get("/health/live")).status_code == 200
    assert (await http.get("/health/ready")).status_code == 200
    database_door.open()
    await wait_until(lambda: healthy(http), within=15)
    await Caller(http, unknown).accepted()


async def test_the_database_hangs(
    postgres_url: str, database_door: Gate, start_service: StartService, connect: Connect
) -> None:
    """A database that does not answer is one that cannot be asked: 503 within 5 s."""
    known, unknown = somebody(), somebody()
    await created(postgres_url, known, unknown)
    url = through(database_door, postgres_url)
    http = connect(await asyncio.to_thread(start_service, database_url=url))
    await Caller(http, known).accepted()
    database_door.hold_after(b"tenants")
    await refused_in_time(Caller(http, unknown), "unavailable")
    await Caller(http, known).accepted()


async def test_a_change_while_the_database_is_being_asked(
    postgres_url: str,
    database_door: Gate,
    start_service: StartService,
    connect: Connect,
    orchestrator: Command,
    environment: dict[str, str],
) -> None:
    """An answer that was read before a suspension lets nobody in after it."""
    tenant = somebody()
    await created(postgres_url, tenant)
    url = through(database_door, postgres_url)
    domain, prefix = unique("domain"), unique("prefix")
    start = partial(start_service, database_url=url, domain_name=domain, callback_queue_prefix=prefix)
    caller = Caller(connect(await asyncio.to_thread(start)), tenant)
    async with postgres_gate(postgres_url) as operators_door:
        # All that is missing is the commit, and what follows it.
        operators_door.hold_after(b"INSERT INTO audit")
        own = {
            **environment,
            "DATABASE_URL": through(operators_door, postgres_url),
            "ORCHESTRATOR_DOMAIN_NAME": domain,
            "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX": prefix,
        }
        suspension = asyncio.create_task(orchestrator("tenants", "suspend", tenant.id, settings=own))
        await asyncio.wait_for(operators_door.holding.wait(), 30)
        database_door.hold_after(b"tenants")
        asking = asyncio.create_task(caller.send())
        await asyncio.wait_for(database_door.holding.wait(), 5)
        operators_door.release()
        await suspension
    database_door.release()
    problem(await asking, 403, "access_denied")
    problem(await caller.send(), 403, "access_denied")
