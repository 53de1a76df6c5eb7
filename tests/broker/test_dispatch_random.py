"""The dispatch among workers that die, consumers that know nothing of it, and a recoverer that crashes."""

from random import Random
from typing import Any

from tests.broker.dispatch_model import QUEUES, Bustle

from orchestrator.broker.broker import Broker
from orchestrator.embedded import ValkeyServer

HOLDING = ("leases", "run", "e", "capped", "ready", "waiting", "q")


async def test_each_task_ends_once(broker: Broker, server: ValkeyServer, client: Any) -> None:
    """3 000 tasks of 50 tenants end once each, no attempt runs twice, and nothing is left that holds a place."""
    tasks = 500 if broker.topology.is_cluster else 3_000
    bustle = Bustle(broker, server.url, Random(4), tasks, tenants=50)
    await bustle.run(workers=6, plain=2)
    await bustle.settle()

    assert set(bustle.truth.endings.values()) == {1}
    assert set(bustle.truth.runs.values()) == {1}
    assert max(bustle.truth.attempts.values()) > 1
    assert [client.llen(queue) for queue in QUEUES] == [0, 0, 0]
    left = [key for kind in HOLDING for key in client.scan_iter(f"{{dispatch}}:{kind}:*", count=1000)]
    assert not left
