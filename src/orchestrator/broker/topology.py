"""Which connection serves a key: the only one of a single server, or that of the slot in a Cluster."""

import asyncio
import math
from typing import Any, Final

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisClusterException, RedisError

from orchestrator.broker.connection import Argument, Moved, OnState, Reply, Unavailable, Wire
from orchestrator.broker.endpoint import CONNECT_TIMEOUT_SECONDS, Endpoint

_MOVES_MAX: Final = 4
REFRESH_SECONDS: Final = 30.0


class Topology:
    """The wires to every server that holds keys, by key."""

    def __init__(self, endpoint: Endpoint, on_state: OnState | None = None) -> None:
        self._endpoint = endpoint
        self._on_state = on_state
        self._single = None if endpoint.is_cluster else Wire(endpoint, on_state)
        self._wires: dict[str, Wire] = {}
        self._slots: dict[int, str] = {}
        self._first_slots: dict[str, int] = {}
        self._read_at = -math.inf
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def where(self) -> str:
        """The server of the settings, without credentials."""
        return str(self._endpoint)

    @property
    def is_cluster(self) -> bool:
        """Whether keys of different slots need calls of their own."""
        return self._single is None

    @property
    def connected(self) -> bool:
        """Whether every known server is reached."""
        if self._single:
            return self._single.connected
        return bool(self._wires) and all(wire.connected for wire in self._wires.values())

    def start(self) -> None:
        """Begin to connect."""
        if self._single:
            self._single.start()

    async def close(self) -> None:
        """Close every connection."""
        if self._refreshing:
            self._refreshing.cancel()
        wires = [self._single] if self._single else list(self._wires.values())
        await asyncio.gather(*(wire.close() for wire in wires))

    async def call(self, key: str, *args: Argument) -> Reply:
        """Send a command to the server that holds `key`.

        A command that another node should have had was not executed, so it may be sent again.
        """
        if self._single:
            return await self._single.call(*args)
        return await self._call_in_cluster(key, args)

    async def wires(self) -> list[Wire]:
        """To every server that holds keys."""
        if self._single:
            return [self._single]
        if not self._wires:
            await self._refresh()
        return list(self._wires.values())

    async def endpoints(self) -> list[Endpoint]:
        """Every server that holds keys, for listeners; a Cluster is asked anew now and then."""
        if self._single:
            return [self._endpoint]
        now = asyncio.get_running_loop().time()
        if now - self._read_at > REFRESH_SECONDS:
            await self._refresh()
        return [wire.endpoint for wire in self._wires.values()]

    async def endpoint_of(self, key: str) -> str:
        """The name of the server that holds `key`."""
        return str((await self._wire(key)).endpoint)

    def first_slot(self, server: str) -> int:
        """The first slot of a server by its name: what every replica knows it by, whatever address it has for each."""
        return self._first_slots.get(server, 0)

    async def server_of(self, key: str) -> int:
        """The first slot of the server that holds `key`; 0 of a single one."""
        return self.first_slot(await self.endpoint_of(key))

    async def _wire(self, key: str) -> Wire:
        if self._single:
            return self._single
        slot = key_slot(key.encode())
        if slot not in self._slots:
            await self._refresh()
        try:
            return self._wires[self._slots[slot]]
        except KeyError:
            raise Unavailable("no node of the Cluster serves this slot") from None

    async def _call_in_cluster(self, key: str, args: tuple[Argument, ...]) -> Reply:
        for _ in range(_MOVES_MAX):
            wire = await self._wire(key)
            try:
                return await wire.call(*args)
            except Moved as moved:
                kind, _, address = str(moved).split(" ")[:3]
                if kind == "ASK":
                    return await self._ask(address, args)
                await self._refresh()
            except Unavailable:
                # Nothing was sent; perhaps another node serves the slot by now.
                await self._refresh()
                if await self._wire(key) is wire:
                    raise
        raise Unavailable("the slot moves from node to node")

    async def _ask(self, address: str, args: tuple[Argument, ...]) -> Reply:
        wire = self._open(address)
        asking = wire.call("ASKING")
        asked = wire.call(*args)
        await asking
        return await asked

    def _open(self, address: str) -> Wire:
        if address not in self._wires:
            host, _, port = address.rpartition(":")
            wire = Wire(self._endpoint.at(host, int(port)), self._on_state)
            wire.start()
            self._wires[address] = wire
        return self._wires[address]

    async def _refresh(self) -> None:
        """Read the slots once, whoever asks at the same time."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read_slots())
        await asyncio.shield(self._refreshing)

    async def _read_slots(self) -> None:
        options: dict[str, Any] = {"socket_timeout": CONNECT_TIMEOUT_SECONDS}
        known = [address.rpartition(":") for address in self._wires]
        if known:
            options["startup_nodes"] = [ClusterNode(host, int(port)) for host, _, port in known]
        cluster: Any = RedisCluster.from_url(  # pyright: ignore[reportUnknownMemberType]
            self._endpoint.url.replace("redis+cluster", "redis", 1), **options
        )
        try:
            await cluster.initialize()
            self._slots = {
                slot: f"{nodes[0].host}:{nodes[0].port}"
                for slot, nodes in cluster.nodes_manager.slots_cache.items()
            }
        except (RedisError, RedisClusterException, OSError) as error:
            if self._on_state:
                self._on_state(False, str(error))
            raise Unavailable(f"the Cluster cannot be reached: {type(error).__name__}") from error
        finally:
            await cluster.aclose()
        self._read_at = asyncio.get_running_loop().time()
        # From the last to the first, which stays.
        self._first_slots = {self._slots[slot]: slot for slot in sorted(self._slots, reverse=True)}
        for address in set(self._slots.values()):
            self._open(address)
        for address in set(self._wires) - set(self._slots.values()):
            await self._wires.pop(address).close()
