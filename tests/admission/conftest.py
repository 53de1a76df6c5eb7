"""A sender on a Valkey of its own, which a test may stop and kill."""

import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.admission.sending import Records, Sending
from tests.broker.tenant import KEEPING, Tenant, raw_client
from tests.servers import valkey_server

from orchestrator.broker.broker import Broker
from orchestrator.broker.keys import Keys
from orchestrator.embedded import ValkeyServer


@pytest.fixture(scope="module")
def own_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey that a test may stop and kill."""
    with valkey_server(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
async def broker(own_process: ValkeyServer) -> AsyncIterator[Broker]:
    """A broker on that server, empty and running at the start."""
    if not own_process.running:
        own_process.start()
    with raw_client(own_process.port) as client:
        client.flushall()
    async with Broker(own_process.url, Keys("orchestrator", "orchestrator"), KEEPING) as opened:
        await opened.set_clock()
        yield opened
    if own_process.running:
        os.kill(own_process.pid, signal.SIGCONT)


@pytest.fixture
async def sending(broker: Broker) -> AsyncIterator[Sending]:
    """A sender without access validation."""
    made = Sending(broker, None)
    yield made
    await made.enqueue.close()


@pytest.fixture
async def validating(broker: Broker) -> AsyncIterator[tuple[Sending, Records]]:
    """A sender that asks a database."""
    records = Records()
    made = Sending(broker, records)
    yield made, records
    await made.enqueue.close()


@pytest.fixture
def tenant(broker: Broker, own_process: ValkeyServer) -> Iterator[Tenant]:
    """The tenant, as the test looks at it."""
    with raw_client(own_process.port) as client:
        yield Tenant(broker, client)
