"""What an experiment sends, drawn from one seed: tenants of all tiers, their sessions, and thousands of messages."""

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.faults.record import Customer, Kind, Message, SessionKey

from orchestrator.protocol.tiers import TIERS

PLAIN_TIMEOUT: Final = 20
"""Seconds. What a plain agent took and lost before it said so ends by its deadline, and the end waits for that."""
_POLICIES: Final = ("parallel", "queue", "reject", "interrupt", "latest", "merge", "steer")
_EACH_MIXED: Final = 4
"""Of so many sessions one uses turn policies."""


class Load(NamedTuple):
    """How much of everything."""

    tenants_per_tier: int = 2
    sessions_per_tenant: int = 5
    rate: float = 16.0
    """Messages a second, all sessions together."""


class Plan:
    """The tenants and the messages of one seed."""

    def __init__(self, seed: int, load: Load) -> None:
        self._chance = random.Random(seed)
        self.load = load
        self.customers = [
            Customer(f"tenant-{tier}-{number}", tier)
            for tier in TIERS
            for number in range(load.tenants_per_tier)
        ]
        self.sessions = [
            SessionKey(customer.id, f"s{number}")
            for customer in self.customers
            for number in range(load.sessions_per_tenant)
        ]
        self._owners = {customer.id: customer for customer in self.customers}

    def customer(self, key: SessionKey) -> Customer:
        """The tenant of a session."""
        return self._owners[key.tenant]

    def messages(self) -> Iterator[tuple[float, Message]]:
        """Each message with the seconds to wait before it; without end."""
        number = 0
        while True:
            number += 1
            yield self._chance.expovariate(self.load.rate), self._message(number)

    def _message(self, number: int) -> Message:
        chance, place = self._chance, self._chance.randrange(len(self.sessions))
        kind: Kind = chance.choice(("sdk", "sdk", "plain"))
        mixed = place % _EACH_MIXED == 0
        hurried = chance.random() < 0.05
        return Message(
            number=number,
            session=self.sessions[place],
            kind=kind,
            words=chance.randint(30, 40) if hurried else chance.randint(3, 20),
            pause=0.1 if hurried else round(chance.uniform(0.01, 0.25), 2),
            policy=chance.choice(_POLICIES) if mixed else "parallel",
            stream=chance.random() > 0.1,
            timeout=2 if hurried else PLAIN_TIMEOUT if kind == "plain" else None,
            key=f"key-{number}" if chance.random() < 0.6 else None,
            cancel_after=round(chance.uniform(0.1, 2.0), 2) if chance.random() < 0.08 else None,
            by_socket=chance.random() < 0.2,
        )
