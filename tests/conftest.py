"""What every test may ask for: Valkey, empty at the start of the test and free of leaks at its end."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.permanent_keys import keys_without_end
from tests.servers import valkey_server

from orchestrator.embedded import ValkeyServer


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
