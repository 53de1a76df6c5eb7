"""Faults of the network, between the service and Valkey and between clients and the service."""

import asyncio
import random
from typing import ClassVar

from tests.faults.fault import Fault
from tests.faults.proxy import Proxy


class _OfLine(Fault):
    """One line of one replica."""

    line: Proxy

    def choose(self, chance: random.Random) -> str:
        number = chance.randrange(len(self.deployment.replicas))
        name, lines = chance.choice(
            (("Valkey", self.deployment.to_valkey), ("clients", self.deployment.to_replicas))
        )
        self.line = lines[number]
        return f"line between replica {number} and {name}"

    async def heal(self) -> None:
        self.line.heal()


class _OfPubSub(_OfLine):
    """The line of one replica on which Valkey tells."""

    def choose(self, chance: random.Random) -> str:
        number = chance.randrange(len(self.deployment.replicas))
        self.line = self.deployment.to_valkey[number]
        return f"line between replica {number} and Valkey"


class ConnectionsReset(_OfLine):
    """RST of every connection of one replica to Valkey, or to its clients."""

    name = "connections_reset"
    seconds: ClassVar = (0.0, 0.0)

    async def strike(self) -> None:
        await asyncio.to_thread(self.line.reset)


class LineSwallows(_OfLine):
    """Half-open: the connections of one replica stay, and nothing comes through them."""

    name = "line_swallows"
    seconds: ClassVar = (2.0, 8.0)

    async def strike(self) -> None:
        self.line.swallow()


class LineSlow(_OfLine):
    """Everything between one replica and Valkey, or its clients, takes a third of a second longer each way."""

    name = "line_slow"
    seconds: ClassVar = (4.0, 10.0)

    async def strike(self) -> None:
        self.line.latency = 0.3


class MessagesDropped(_OfPubSub):
    """Every 50th message of Pub/Sub does not arrive at one replica."""

    name = "messages_dropped"
    seconds: ClassVar = (8.0, 15.0)

    async def strike(self) -> None:
        self.line.drop_messages(every=50)


class PubSubSilent(_OfPubSub):
    """The connection for Pub/Sub of one replica stays open and brings nothing."""

    name = "pubsub_silent"
    seconds: ClassVar = (4.0, 12.0)

    async def strike(self) -> None:
        self.line.drop_messages(every=1)


FAULTS: tuple[type[Fault], ...] = (
    ConnectionsReset,
    LineSwallows,
    LineSlow,
    MessagesDropped,
    PubSubSilent,
)
