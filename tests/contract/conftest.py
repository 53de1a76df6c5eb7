"""Servers of the contract tests. Each test runs twice: on a single Valkey and on one in cluster mode.

The servers live for the whole run and are shared, so a test makes a tenant of its own (`new_tenant`)
and never flushes. One that needs other settings asks for `service_with`, one that stops its server
for `start_service`.
"""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.contract.administrator import Administrator
from tests.contract.at_once import AtOnce
from tests.contract.client import Agent, Caller, Tenant, unique
from tests.permanent_keys import keys_without_end
from tests.security.minting import SECRET
from tests.servers import OrchestratorServer, base_environment, orchestrator_server, valkey_server

from orchestrator.embedded import ValkeyServer
from orchestrator.protocol.context import ContextType
from orchestrator.store.store import Store


class StartService(Protocol):
    """Starts a server; settings are given by their names without ORCHESTRATOR_, in lower case."""

    def __call__(self, *arguments: str, **settings: str) -> OrchestratorServer: ...


class Output(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


Connect = Callable[[OrchestratorServer], httpx.AsyncClient]
"""Opens a client of a server; it is closed when the test ends."""


class Command(Protocol):
    """Runs `orchestrator …` on the settings of `service`, or on others; it has to end with `code`."""

    def __call__(
        self, *arguments: str, code: int = ..., settings: Mapping[str, str] = ...
    ) -> Coroutine[Any, Any, Output]: ...


class NewTenant(Protocol):
    """Creates a tenant with one agent, whose ids no other test has."""

    def __call__(self, tier: str = ..., **limits: int) -> Awaitable[Tenant]: ...


class NewContext(Protocol):
    """Creates an agent, workflow or collection of the tenant and gives its canonical id."""

    def __call__(self, tenant: Tenant, context_type: ContextType) -> Awaitable[str]: ...


@pytest.fixture(scope="session", params=["single", "cluster"])
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    """The Valkey of all tests here; at the end only the permanent keys may be without a TTL."""
    cluster = request.param == "cluster"
    with valkey_server(tmp_path_factory.mktemp("contract"), cluster=cluster) as server:
        yield server
        client: Any = redis.Redis(port=server.port, decode_responses=True)
        with client:
            leaked = sorted(keys_without_end(client))
        assert not leaked, f"keys without a TTL that are not in tests/permanent_keys.py: {leaked}"


@pytest.fixture(scope="session")
def database(redis_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file behind `service`."""
    return tmp_path_factory.mktemp("database") / "orchestrator.db"


@pytest.fixture(scope="session")
def environment(redis_server: ValkeyServer, database: Path) -> dict[str, str]:
    """The settings of `service`; what is not here has its default."""
    return {"REDIS_URL": redis_server.url, "DATABASE_URL": f"sqlite+aiosqlite:///{database}"}


@pytest.fixture(scope="session")
def service(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OrchestratorServer]:
    """The server that tests share: access validation on, every other setting at its default."""
    with orchestrator_server(environment, tmp_path_factory.mktemp("service") / "server.log") as server:
        yield server


@pytest.fixture(scope="session")
def service_with(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartService]:
    """Servers with other settings: one for each set of settings, shared by every test that wants the same."""
    running: dict[object, OrchestratorServer] = {}
    with ExitStack() as stack:

        def start(*arguments: str, **settings: str) -> OrchestratorServer:
            key = (arguments, frozenset(settings.items()))
            if key not in running:
                log = tmp_path_factory.mktemp("service") / "server.log"
                running[key] = _started(stack, environment | _own_names(), log, arguments, settings)
            return running[key]

        yield start


@pytest.fixture(scope="session")
def token_service(service_with: StartService) -> OrchestratorServer:
    """A server that asks for tokens, of `minting.HS256`."""
    return service_with(jwt_secret=SECRET)


@pytest.fixture
def admin(token_service: OrchestratorServer, connect: Connect) -> Administrator:
    """An administrator of `token_service`."""
    return Administrator(connect(token_service))


@pytest.fixture
def start_service(environment: dict[str, str], tmp_path: Path) -> Iterator[StartService]:
    """Servers of one test, which may stop or kill them; two calls make two replicas of one deployment."""
    names = _own_names()
    numbers = count(1)
    with ExitStack() as stack:

        def start(*arguments: str, **settings: str) -> OrchestratorServer:
            log = tmp_path / f"server-{next(numbers)}.log"
            return _started(stack, environment | names, log, arguments, settings)

        yield start


def _own_names() -> dict[str, str]:
    """A deployment of its own on the shared Valkey and database."""
    return {
        "ORCHESTRATOR_DOMAIN_NAME": unique("domain"),
        "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX": unique("own"),
    }


def _started(
    stack: ExitStack,
    environment: Mapping[str, str],
    log: Path,
    arguments: tuple[str, ...],
    settings: Mapping[str, str],
) -> OrchestratorServer:
    given = {setting_name(name): value for name, value in settings.items()}
    return stack.enter_context(orchestrator_server({**environment, **given}, log, arguments))


def setting_name(name: str) -> str:
    """`redis_url` → `REDIS_URL`, `port` → `ORCHESTRATOR_PORT`."""
    upper = name.upper()
    return upper if upper in ("REDIS_URL", "DATABASE_URL") else f"ORCHESTRATOR_{upper}"


@pytest.fixture
def new_tenant(service: OrchestratorServer, environment: dict[str, str]) -> NewTenant:
    """Tenants by the dozen; the running `service` has made the schema."""

    async def create(tier: Any = "professional", **limits: int) -> Tenant:
        tenant = Tenant(unique("tenant"), tier, f"agent-{unique('a')}")
        async with Store(environment["DATABASE_URL"]) as store:
            await store.create_tenant(tenant.id, tier, limits)
            await store.create_context(tenant.id, "agent", tenant.agent)
        return tenant

    return create


@pytest.fixture
def new_context(service: OrchestratorServer, environment: dict[str, str]) -> NewContext:
    """Further contexts of a tenant."""

    async def create(tenant: Tenant, context_type: ContextType) -> str:
        async with Store(environment["DATABASE_URL"]) as store:
            return (await store.create_context(tenant.id, context_type, unique("c"))).record.id

    return create


@pytest.fixture
async def tenant(new_tenant: NewTenant) -> Tenant:
    """A professional tenant of this test's own."""
    return await new_tenant()


@pytest.fixture
async def redis_client(redis_server: ValkeyServer) -> AsyncIterator[Any]:
    """Raw Redis commands; a single cluster node speaks the plain protocol too."""
    # A resent BRPOP would take a second task for the one whose answer was lost.
    once = Retry(NoBackoff(), 0)
    client = redis.asyncio.Redis(port=redis_server.port, decode_responses=True, socket_timeout=30, retry=once)
    async with client:
        yield client


BOTH_WAYS = (pytest.mark.usefixtures("way"), pytest.mark.parametrize("way", ["whole", "forwarded"]))
"""Has a module's tests run twice: with requests that are answered directly, and through ASGI."""


@pytest.fixture
def way() -> str:
    """How a request comes: `whole`, or `forwarded` by a proxy."""
    return "whole"


@pytest.fixture
async def http(service: OrchestratorServer, way: str) -> AsyncIterator[httpx.AsyncClient]:
    """Requests to the shared server; an answer has to come within 5 s."""
    async with _client(service, 5, way) as client:
        yield client


@pytest.fixture
async def connect(way: str) -> AsyncIterator[Connect]:
    """Requests to a server of the test's own."""
    clients: list[httpx.AsyncClient] = []

    def connected(server: OrchestratorServer) -> httpx.AsyncClient:
        clients.append(_client(server, 10, way))
        return clients[-1]

    yield connected
    for client in clients:
        await client.aclose()


@pytest.fixture
def caller(http: httpx.AsyncClient, tenant: Tenant) -> Caller:
    """The test's frontend: its own tenant, its own session."""
    return Caller(http, tenant)


@pytest.fixture
def agent(redis_client: Any, tenant: Tenant) -> Agent:
    """The test's agent: the one of its tenant."""
    return Agent(redis_client, tenant)


@pytest.fixture
def orchestrator(service: OrchestratorServer, environment: dict[str, str]) -> Command:
    """The commands, as an operator of `service` has them."""

    async def run(*arguments: str, code: int = 0, settings: Mapping[str, str] = environment) -> Output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "orchestrator",
            *arguments,
            env={**base_environment(), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        stdout, stderr = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}: {stderr.decode()}"
        return Output(stdout.decode(), stderr.decode())

    return run


def _client(server: OrchestratorServer, timeout: float, way: str) -> httpx.AsyncClient:
    # The default would read every certificate of the system for each test, and there is no TLS here.
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = AtOnce(plain) if way == "whole" else httpx.AsyncHTTPTransport(verify=plain, trust_env=False)
    headers = {} if way == "whole" else {"X-Forwarded-Proto": "http"}
    return httpx.AsyncClient(base_url=server.url, timeout=timeout, transport=transport, headers=headers)
