"""The database away: cached answers go on, and nobody new gets in."""

import asyncio
import random
from typing import ClassVar

from tests.faults.fault import Fault


class DatabaseAway(Fault):
    """Postgres is stopped, and started again."""

    name = "database_away"
    seconds: ClassVar = (3.0, 10.0)

    def choose(self, chance: random.Random) -> str:
        return "database"

    async def strike(self) -> None:
        await asyncio.to_thread(self.deployment.postgres.stop)

    async def heal(self) -> None:
        await asyncio.to_thread(self.deployment.postgres.ensure_postgres_running)


FAULTS: tuple[type[Fault], ...] = (DatabaseAway,)
