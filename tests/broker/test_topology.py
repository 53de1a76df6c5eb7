"""Which server holds a key: a Cluster whose slots move while the service runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
import redis
from redis.crc import key_slot
from tests.broker.tenant import raw_client
from tests.servers import free_port, valkey_server, wait_blocking

from orchestrator.broker import connection
from orchestrator.broker.connection import Refused, Unavailable
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.topology import Topology
from orchestrator.embedded import ValkeyServer

KEY: Final = "orchestrator:acme:callbacks"
SLOT: Final = key_slot(KEY.encode())


class Pair:
    """A Cluster of two nodes; the first holds every slot at the start of a test."""

    def __init__(self, first: ValkeyServer, second: ValkeyServer) -> None:
        self.url = first.url
        self.nodes: list[Any] = [raw_client(first.port), raw_client(second.port)]
        self.names = [self.ask(node, "MYID").decode() for node in (0, 1)]

    def ask(self, node: int, *args: Any) -> Any:
        """A CLUSTER command at one node."""
        return self.nodes[node].execute_command("CLUSTER", *args)

    def move(self, to: int) -> None:
        """Give the empty slot to a node, as resharding does, and return when both know."""
        if not self.serves(to):
            self.ask(to, "SETSLOT", SLOT, "IMPORTING", self.names[1 - to])
            self.ask(1 - to, "SETSLOT", SLOT, "MIGRATING", self.names[to])
        for node in (to, 1 - to):
            self.ask(node, "SETSLOT", SLOT, "NODE", self.names[to])
        wait_blocking(lambda: self.serves(to) and not self.serves(1 - to), why="a slot that was moved")

    def serves(self, node: int) -> bool:
        """Whether a node answers for the slot."""
        try:
            self.nodes[node].llen(KEY)
        except redis.ResponseError:
            return False
        return True


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes that know each other."""
    # A node stays a primary when it gives its last slot away, and a cluster is whole again soon.
    options = {"cluster-allow-replica-migration": "no", "cluster-node-timeout": "1000"}
    with (
        valkey_server(tmp_path_factory.mktemp("a"), cluster=True, options=options) as first,
        valkey_server(tmp_path_factory.mktemp("b"), cluster=True, options=options) as second,
    ):
        pair = Pair(first, second)
        pair.ask(1, "FLUSHSLOTS")
        bus = [int(pair.nodes[0].config_get("cluster-port")["cluster-port"])]
        pair.ask(1, "MEET", "127.0.0.1", first.port, *bus)
        for node in (0, 1):
            wait_blocking(
                lambda n=node: b"cluster_known_nodes:2" in pair.ask(n, "INFO"), 20, "nodes that met"
            )
            wait_blocking(
                lambda n=node: b"cluster_state:ok" in pair.ask(n, "INFO"), 20, "a cluster that is whole"
            )
        yield pair
        for node in pair.nodes:
            node.close()


@pytest.fixture
def pair(nodes: Pair) -> Iterator[Pair]:
    """The two nodes, with the slot at the first before and after."""
    yield nodes
    for node in (0, 1):
        nodes.ask(node, "SETSLOT", SLOT, "STABLE")
    nodes.move(0)


@pytest.fixture
async def topology(pair: Pair) -> AsyncIterator[Topology]:
    """A topology that has read the slots as they are at the start."""
    opened = Topology(Endpoint(pair.url))
    opened.start()
    assert await opened.call(KEY, "LLEN", KEY) == 0
    yield opened
    await opened.close()


async def test_moved(pair: Pair, topology: Topology) -> None:
    """A call that the old node refuses is made at the new one, once, and so are the next ones."""
    before = await topology.endpoint_of(KEY)
    pair.move(1)
    assert await asyncio.gather(*(topology.call(KEY, "LPUSH", KEY, "x") for _ in range(5))) == [1, 2, 3, 4, 5]
    assert await topology.endpoint_of(KEY) != before
    assert len(await topology.endpoints()) == 2
    assert pair.nodes[1].llen(KEY) == 5
    pair.nodes[1].delete(KEY)


async def test_servers_are_known_by_their_first_slots(pair: Pair, topology: Topology) -> None:
    """Replicas that reach a server by different addresses call it by the same number, which goes by what it serves."""
    assert await topology.server_of(KEY) == 0
    pair.move(1)
    assert await topology.call(KEY, "LLEN", KEY) == 0
    assert await topology.server_of(KEY) == SLOT
    assert sorted(map(topology.first_slot, map(str, await topology.endpoints()))) == [0, SLOT]


async def test_asked(pair: Pair, topology: Topology) -> None:
    """While a slot is being moved, a key that is there already is asked for there, and nothing is forgotten."""
    pair.ask(1, "SETSLOT", SLOT, "IMPORTING", pair.names[0])
    pair.ask(0, "SETSLOT", SLOT, "MIGRATING", pair.names[1])
    assert await asyncio.gather(*(topology.call(KEY, "LPUSH", KEY, "x") for _ in range(3))) == [1, 2, 3]
    assert pair.nodes[1].execute_command("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 1
    pair.ask(1, "SETSLOT", SLOT, "NODE", pair.names[1])
    pair.ask(0, "SETSLOT", SLOT, "NODE", pair.names[1])
    assert await topology.call(KEY, "LLEN", KEY) == 3
    pair.nodes[1].delete(KEY)


async def test_refusal_passes(topology: Topology) -> None:
    """Any other error is the caller's."""
    with pytest.raises(Refused, match="wrong number"):
        await topology.call(KEY, "LLEN")


async def test_cluster_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Cluster that was never reached is unavailable, like a single server."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.2)
    told: list[bool] = []
    opened = Topology(Endpoint(f"redis+cluster://127.0.0.1:{free_port()}"), lambda up, _: told.append(up))
    opened.start()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await opened.call(KEY, "LLEN", KEY)
    assert told == [False, False]
    assert not opened.connected
    await opened.close()


async def test_closed(topology: Topology) -> None:
    """What a closed topology is asked for is certainly not done."""
    await topology.close()
    with pytest.raises(Unavailable):
        await topology.call(KEY, "LLEN", KEY)
