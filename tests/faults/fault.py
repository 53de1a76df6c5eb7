"""What a fault is: something that is done to the deployment, and what heals it."""

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.faults.deployment import Deployment
from tests.faults.record import Loss


class Fault(ABC):
    """One fault of an experiment; its docstring is what `--help` says of it. Two with one `subject` never overlap."""

    name: ClassVar[str]
    seconds: ClassVar[tuple[float, float]] = (0.5, 3.0)
    """How long it lasts, at the least and at the most."""
    takes_back: ClassVar[bool] = False
    """Whether Redis loses writes that it had confirmed: then less can be promised."""

    def __init__(self, deployment: Deployment, chance: random.Random) -> None:
        self.deployment = deployment
        self.lasts = chance.uniform(*self.seconds)
        self.losses: list[Loss] = []
        """Which confirmed writes it took back."""
        self.subject = self.choose(chance)

    @abstractmethod
    def choose(self, chance: random.Random) -> str:
        """Whom it strikes."""

    @abstractmethod
    async def strike(self) -> None:
        """Does it."""

    @abstractmethod
    async def heal(self) -> None:
        """Returns once all is as before."""
