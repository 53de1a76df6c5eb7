"""What every test may ask for: Valkey, empty at the start of the test and free of leaks at its end; Postgres."""

import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
import redis
from tests.broker.floor import Floor
from tests.broker.tenant import KEEPING, Tenant, raw_client
from tests.permanent_keys import keys_without_end
from tests.planted import Planted
from tests.postgres import PostgresServer, postgres_server
from tests.servers import valkey_server

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer

CHROMIUM: Final = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say plainly what a run without a browser has not tested."""
    if not CHROMIUM.exists():
        terminalreporter.write_line(
            f"LEFT OUT: browser tests (chromium not found at {CHROMIUM}; CHROMIUM names another place): "
            "page round trip, reload, killed server, stop, refused messages, hostile text",
            yellow=True,
            bold=True,
        )


@pytest.fixture(scope="session", autouse=True)
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """Where tests tell of secrets that they were given. At the end no server may have logged one (contract §6)."""
    planted = Planted()
    yield planted
    found = list(planted.found_below(tmp_path_factory.getbasetemp()))
    assert not found, "secrets in the logs of servers:\n" + "\n".join(found[:20])


@pytest.fixture(scope="session")
def valkey_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One Valkey for the whole run; tests ask for `valkey`."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One Valkey in cluster mode for the whole run; tests ask for `valkey_cluster`."""
    with valkey_server(tmp_path_factory.mktemp("cluster"), cluster=True) as server:
        yield server


@pytest.fixture
def valkey(valkey_process: ValkeyServer) -> Iterator[ValkeyServer]:
    """An empty Valkey; `.url` is the REDIS_URL. Afterwards only the permanent keys may be without a TTL."""
    yield from _empty_then_checked(valkey_process)


@pytest.fixture
def valkey_cluster(cluster_process: ValkeyServer) -> Iterator[ValkeyServer]:
    """The same in cluster mode: one node that holds every slot."""
    yield from _empty_then_checked(cluster_process)


@pytest.fixture(params=["valkey", "valkey_cluster"])
def each_valkey(request: pytest.FixtureRequest) -> ValkeyServer:
    """An empty server of each kind."""
    found: ValkeyServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def broker_server(valkey: ValkeyServer) -> ValkeyServer:
    """Where `broker` and what stands on it work; a folder or file of tests may have another."""
    return valkey


@pytest.fixture
def client(broker_server: ValkeyServer) -> Iterator[Any]:
    """A client for what is done behind the service's back."""
    with raw_client(broker_server.port) as opened:
        yield opened


@pytest.fixture
async def broker(broker_server: ValkeyServer) -> AsyncIterator[Broker]:
    """A broker of the deployment `orchestrator`."""
    async with Broker(broker_server.url, Keys("orchestrator", "orchestrator"), KEEPING) as opened:
        await opened.check_server()  # a question that waits for the connection would put the clock ahead
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


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    """Where a server of this test may log to."""
    return tmp_path / "server.log"


def _empty_then_checked(server: ValkeyServer) -> Generator[ValkeyServer]:
    # A node in cluster mode speaks the plain protocol too, so one client serves both.
    client: Any = redis.Redis(port=server.port, decode_responses=True)
    with client:
        client.flushall()
        yield server
        leaked = sorted(keys_without_end(client)) if server.running else []
        assert not leaked, f"keys without a TTL that are not in tests/permanent_keys.py: {leaked}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres of this session's own."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty Postgres database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        yield postgres.get_uri(database=name, driver="psycopg")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
