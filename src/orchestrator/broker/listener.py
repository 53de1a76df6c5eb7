"""What Redis tells without being asked: tenants' channels, and the doorbell.

One RESP3 connection per server, apart from the one for commands. The doorbell is `CLIENT TRACKING` in broadcast mode:
the server announces every write to a key with the callback prefix, whoever made it, collected per server cycle. Both
are hints. After a reconnect something may have been missed, so `on_gap` is called; PING proves nothing, so each
connection hears its own probe: a PUBLISH and, with the bell on, a write, every few seconds.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import hiredis

from orchestrator.broker.broker import Broker
from orchestrator.broker.connection import BrokerError
from orchestrator.broker.endpoint import Endpoint
from orchestrator.broker.link import Argument, Link, linked

PROBE_SECONDS: Final = 3.0
ECHO_SECONDS: Final = 1.0


class Hears(Protocol):
    """Who is told what was heard."""

    def on_message(self, channel: str, message: bytes) -> None:
        """A batch came on a tenant's channel."""

    def on_ring(self, queue: str, server: int) -> None:
        """Something was written to a key with the callback prefix, at a server (see `Topology.server_of`)."""

    def on_gap(self) -> None:
        """Messages and rings may have been missed."""

    def on_deaf(self, reason: str) -> None:
        """The listening connection broke, or cannot be made."""


class Ear:
    """The listening connection to one server."""

    def __init__(self, broker: Broker, endpoint: Endpoint, replica: str, hears: Hears) -> None:
        self.endpoint = endpoint
        self._broker = broker
        self._hears = hears
        self._replica = replica
        self._channels: dict[str, asyncio.Future[None]] = {}
        # Channels given up and not yet confirmed: somebody may want one again by then.
        self._left: Counter[str] = Counter()
        self._link: Link | None = None
        self._bell = False
        self._task: asyncio.Task[None] | None = None
        self._echoes: dict[str, asyncio.Event] = {"message": asyncio.Event(), "ring": asyncio.Event()}
        self._probe_channel = ""
        self._probe_key = ""
        self.healthy = False
        """Whether the last probe came back: events can be delivered."""

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop listening."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def subscribe(self, channel: str) -> None:
        """Hear a channel; returns when the server confirmed it. Waits as long as the server is away."""
        confirmed = self._channels.get(channel)
        if confirmed is None:
            confirmed = self._channels[channel] = asyncio.get_running_loop().create_future()
            self._send("SSUBSCRIBE", channel)
        if not confirmed.done():
            await asyncio.shield(confirmed)

    async def unsubscribe(self, channel: str) -> None:
        """Hear a channel no more."""
        if self._channels.pop(channel, None):
            self._left[channel] += 1
            self._send("SUNSUBSCRIBE", channel)

    def ring(self, wanted: bool) -> None:
        """Switch the doorbell on or off."""
        if wanted != self._bell:
            self._bell = wanted
            self._send_tracking()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it is, the ear has to come back
                self._hears.on_deaf(_reason(error))
            finally:
                self.healthy = False
            await asyncio.sleep(random.uniform(0.1, 0.5))

    async def _listen(self) -> None:
        try:
            async with linked(self.endpoint, self._take, protocol=3) as link, asyncio.TaskGroup() as group:
                self._link = link
                self._left.clear()
                await self._name_probes()
                self._send_all()
                group.create_task(link.over())
                group.create_task(self._probe())
        finally:
            self._link = None

    def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        for channel, confirmed in self._channels.items():
            if confirmed.done():
                self._channels[channel] = loop.create_future()
            self._send("SSUBSCRIBE", channel)
        self._send("SSUBSCRIBE", self._probe_channel)
        if self._bell:
            self._send_tracking()

    def _send_tracking(self) -> None:
        if self._bell:
            prefix = self._broker.keys.doorbell_prefix
            self._send("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", prefix)
        else:
            self._send("CLIENT", "TRACKING", "OFF")

    def _send(self, *args: Argument) -> None:
        if self._link:
            self._link.send((args,))

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        if isinstance(reply, hiredis.PushNotification):
            self._hear(cast("list[Any]", reply))

    def _hear(self, heard: list[Any]) -> None:
        kind = heard[0]
        if kind == b"smessage":
            channel = heard[1].decode()
            if channel == self._probe_channel:
                self._echoes["message"].set()
            else:
                self._hears.on_message(channel, heard[2])
        elif kind == b"invalidate":
            self._hear_ring(cast("list[bytes] | None", heard[1]))
        elif kind == b"ssubscribe":
            confirmed = self._channels.get(heard[1].decode())
            if confirmed and not confirmed.done():
                confirmed.set_result(None)
        elif kind == b"sunsubscribe" and heard[1]:
            self._hear_left(heard[1].decode())

    def _hear_left(self, channel: str) -> None:
        if self._left[channel]:
            self._left[channel] -= 1
        elif channel in self._channels:
            raise RedisConnectionLost  # the slot moved away under us

    def _hear_ring(self, keys: list[bytes] | None) -> None:
        if keys is None:
            self._hears.on_gap()  # FLUSHALL
            return
        server = self._broker.topology.first_slot(str(self.endpoint))
        for key in keys:
            name = key.decode("utf-8", "replace")
            if name == self._probe_key:
                self._echoes["ring"].set()
            else:
                self._hears.on_ring(name, server)

    async def _name_probes(self) -> None:
        """A channel and a key that this server serves: in a Cluster not every name is."""
        wanted = str(self.endpoint)
        keys = self._broker.keys
        for number in range(20_000):
            key = keys.bell_probe(f"{self._replica}-{number}")
            if not self._broker.topology.is_cluster or await self._broker.topology.endpoint_of(key) == wanted:
                self._probe_key, self._probe_channel = key, f"{{{key}}}:probe"
                return
        raise RedisConnectionLost

    async def _probe(self) -> None:
        first = True
        while True:
            for echo in self._echoes.values():
                echo.clear()
            await self._broker.command(self._probe_key, "SPUBLISH", self._probe_channel, "probe")
            expected = [self._echoes["message"]]
            if self._bell:
                await self._broker.command(self._probe_key, "SET", self._probe_key, "1", "PX", 10_000)
                expected.append(self._echoes["ring"])
            async with asyncio.timeout(ECHO_SECONDS):
                for echo in expected:
                    await echo.wait()
            self.healthy = True
            if first:
                self._hears.on_gap()
                first = False
            await asyncio.sleep(PROBE_SECONDS)


class RedisConnectionLost(BrokerError):
    """The listening connection has to be made anew."""


def _reason(error: BaseException) -> str:
    """The first error at the bottom of what the tasks of a connection raised."""
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        error = group.exceptions[0]
    return str(error) or type(error).__name__


class Listener:
    """The ears at every server of the deployment."""

    def __init__(self, broker: Broker, replica: str, hears: Hears) -> None:
        self._broker = broker
        self._replica = replica
        self._hears = hears
        self._ears: dict[str, Ear] = {}

    @property
    def healthy(self) -> bool:
        """Whether every ear heard its last probe."""
        return bool(self._ears) and all(ear.healthy for ear in self._ears.values())

    async def refresh(self) -> None:
        """Have an ear at each server, and none at those that left."""
        endpoints = {str(endpoint): endpoint for endpoint in await self._broker.topology.endpoints()}
        for name, endpoint in endpoints.items():
            if name not in self._ears:
                self._ears[name] = Ear(self._broker, endpoint, self._replica, self._hears)
                self._ears[name].start()
        for name in set(self._ears) - set(endpoints):
            await self._ears.pop(name).close()

    async def close(self) -> None:
        """Stop listening."""
        await asyncio.gather(*(ear.close() for ear in self._ears.values()))

    async def subscribe(self, channel: str) -> None:
        """Hear a channel; returns when the server confirmed it."""
        await (await self._ear(channel)).subscribe(channel)

    async def unsubscribe(self, channel: str) -> None:
        """Hear a channel no more."""
        await (await self._ear(channel)).unsubscribe(channel)

    def ring(self, wanted: Callable[[int], bool]) -> None:
        """Switch the doorbells on, each by whether the one of its server is wanted, or off."""
        for name, ear in self._ears.items():
            ear.ring(wanted(self._broker.topology.first_slot(name)))

    async def _ear(self, channel: str) -> Ear:
        if not self._ears:
            await self.refresh()
        if not self._broker.topology.is_cluster:
            return next(iter(self._ears.values()))
        return self._ears[await self._broker.topology.endpoint_of(channel)]
