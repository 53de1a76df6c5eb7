"""Callbacks that must have no effect, pushed on purpose: each has to be found again, as a dead letter or counted."""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import httpx
import redis.asyncio
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from tests.faults.record import Frame, Record

from orchestrator.broker.keys import Keys
from orchestrator.metrics import Counter

_EVERY: Final = (0.3, 1.0)
"""Seconds between two of them."""
_KEYS: Final = Keys("orchestrator", "orchestrator")
_COUNTERS_LIVE: Final = frozenset(
    {"worker_killed", "worker_stopped", "worker_frozen", "clock_jumped", "database_away"}
)
"""Faults through which a replica keeps its counters, and hears what each of its scripts counted."""


class Strays:
    """Pushes them on the queues of tenants whose tasks `record` has seen."""

    def __init__(self, record: Record, port: int, chance: random.Random) -> None:
        self.dead: dict[str, str] = {}
        """What each one is recognised by, and its tenant."""
        self.dropped = 0
        """How many reports of what is over Redis has taken."""
        self._record = record
        self._chance = chance
        # A resent push would be two of them.
        once = Retry(NoBackoff(), 0)
        self._client: Any = redis.asyncio.Redis(port=port, socket_timeout=5, retry=once)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with self._client:
            while True:
                await asyncio.sleep(self._chance.uniform(*_EVERY))
                # Whether it was taken is not known then, and nothing is asked of it.
                with suppress(RedisError, OSError):
                    await self._push()

    async def uncounted(self, urls: list[str]) -> list[str]:
        """What is in no dead letter and no counter, one line each."""
        async with self._client:
            letters = {tenant: await self._letters(tenant) for tenant in set(self.dead.values())}
        missing = [
            f"{token} of {tenant} is no dead letter"
            for token, tenant in self.dead.items()
            if token.encode() not in letters[tenant]
        ]
        counted = sum([await _dropped(url) for url in urls])
        struck = {strike.name.partition(" ")[0] for strike in self._record.strikes}
        if struck <= _COUNTERS_LIVE and counted < self.dropped:
            missing.append(f"{self.dropped} late reports were pushed, {counted} are counted as dropped")
        return missing

    async def _push(self) -> None:
        tenant = self._chance.choice(sorted({key.tenant for key in self._record.followed}))
        token = f"task-stray-{self._chance.getrandbits(64):x}"
        over = list(self._over(tenant))
        if over and self._chance.random() < 0.6:
            await self._client.lpush(_KEYS.callbacks(tenant), _late(self._chance.choice(over)))
            self.dropped += 1
        else:
            broken = self._chance.choice((f"no JSON: {token}", json.dumps(_completed(token))))
            await self._client.lpush(_KEYS.callbacks(tenant), broken)
            self.dead[token] = tenant

    def _over(self, tenant: str) -> Iterator[Frame]:
        """Endings, and beginnings of further attempts: after each, what went before is over."""
        for key, followed in self._record.followed.items():
            if key.tenant == tenant and followed.connections:
                for frame in followed.connections[-1].frames:
                    if frame.ends or frame.data.get("status") == "retrying":
                        yield frame

    async def _letters(self, tenant: str) -> bytes:
        found: list[bytes] = await self._client.lrange(_KEYS.of_tenant(tenant, "dead"), 0, -1)
        return b"\n".join(found)


def _late(frame: Frame) -> str:
    """An answer of an attempt that is over."""
    attempt = {} if frame.ends else {"attempt": frame.data["attempt"] - 1}
    return json.dumps({**_completed(frame.task_id), **attempt})


def _completed(task_id: str) -> dict[str, Any]:
    return {"task_id": task_id, "status": "completed", "result": {"response": "of what is over"}}


async def _dropped(url: str) -> int:
    """What one replica has counted as dropped since it began."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{url}/metrics")).text
    name = Counter.CALLBACKS_DROPPED.value.name
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )
    )
