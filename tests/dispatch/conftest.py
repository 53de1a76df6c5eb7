"""The service's side of the dispatch on a Valkey of its own, with workers of whom the dispatch knows."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.broker.conftest import KEEPING
from tests.broker.floor import Floor
from tests.broker.tenant import raw_client

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[Any]:
    """A client for what is done behind the service's back."""
    with raw_client(valkey.port) as opened:
        yield opened


@pytest.fixture
async def broker(valkey: ValkeyServer) -> AsyncIterator[Broker]:
    """A broker of the deployment `orchestrator`."""
    async with Broker(valkey.url, Keys("orchestrator", "orchestrator"), KEEPING) as opened:
        yield opened


@pytest.fixture
def floor(broker: Broker, client: Any) -> Floor:
    """The dispatch."""
    return Floor(broker, client)
