"""A broker on a Valkey of its own, with the tenant `acme` on it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.broker.conftest import KEEPING
from tests.broker.tenant import Tenant, raw_client
from tests.delivery.parts import Parts

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
        await opened.set_clock()
        yield opened


@pytest.fixture
def tenant(broker: Broker, client: Any) -> Tenant:
    """The tenant `acme`."""
    return Tenant(broker, client)


@pytest.fixture
def parts(tenant: Tenant) -> Parts:
    """The delivery side of one replica."""
    return Parts(tenant)
