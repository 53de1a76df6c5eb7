"""A broker on each kind of server: a plain Valkey, and one in cluster mode that refuses keys of two slots."""

import pytest

from orchestrator.embedded import ValkeyServer


@pytest.fixture
def server(each_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server of each kind."""
    return each_valkey


@pytest.fixture
def broker_server(server: ValkeyServer) -> ValkeyServer:
    """The same for whoever asks for a broker."""
    return server
