"""What a call that takes callbacks costs, whatever is in it, and what it costs that a process hears of it.

As in a Cluster, where each call is for one tenant. Events come one by one, then sixteen together: the difference is
calls and their announcements. What hearing costs shows an announcement that is repeated to a process with sockets of
other sessions.
"""

import asyncio
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.capacity.ground import Ground, Micros, Watch, begin, callbacks, follow, ground, idle, until
from benchmarks.load.agent import chunk
from benchmarks.load.sockets import Viewer
from benchmarks.measures import client_of

TENANTS: Final = 300
ROUNDS: Final = 16
TOGETHER: Final = 16
HEARD: Final = 10_000
TURNS: Final = 5
"""Of announcements that are heard and that are not: what is between them is less than what noise does meanwhile."""
AT_ONCE: Final = 48
SETTLE_SECONDS: Final = 5
Command = tuple[str | bytes, ...]


async def measure(*, valkey_us_per_event: float) -> dict[str, float]:
    """The figures by their names."""
    with ground(cluster=True) as stands:
        async with client_of(f"redis://127.0.0.1:{stands.valkey.port}") as agent:
            talk = _Talk(stands, agent)
            await talk.open()
            together = await talk.say(rounds=2, at_once=TOGETHER)
            singly = await talk.say(rounds=ROUNDS, at_once=1)
            heard = await talk.hear()
    part = TOGETHER / (TOGETHER - 1)
    call = Micros(*((one - many) * part for one, many in zip(singly, together, strict=True)))
    return {
        "service_us_per_call": call.service - heard.service,
        "service_us_per_heard": heard.service,
        "valkey_us_per_call": call.valkey - heard.valkey,
        "valkey_us_per_heard": heard.valkey,
        "valkey_us_per_push": singly.valkey - call.valkey - valkey_us_per_event,
    }


class _Talk:
    """A running task of each tenant, and its socket."""

    def __init__(self, stands: Ground, agent: Any) -> None:
        self._stands, self._agent = stands, agent
        self._tenants: Final = [f"tenant-{number}" for number in range(TENANTS)]
        self._tasks: Sequence[str] = ()
        self._viewers: Sequence[Viewer] = ()
        self._seq = 0

    async def open(self) -> None:
        sessions = [(tenant, "talk") for tenant in self._tenants]
        self._viewers = await follow(self._stands.services[0], sessions)
        self._tasks = await begin(self._stands.services[0], sessions)
        await asyncio.sleep(SETTLE_SECONDS)

    async def say(self, *, rounds: int, at_once: int) -> Micros:
        """What an event costs where so many of a tenant come at once, each with an LPUSH of its own."""
        anyway = await idle(self._stands)
        watch = Watch(self._stands)
        for _ in range(rounds):
            numbers = range(self._seq, self._seq + at_once)
            await self._send(
                [
                    ("LPUSH", callbacks(tenant), chunk(task.encode(), number))
                    for tenant, task in zip(self._tenants, self._tasks, strict=True)
                    for number in numbers
                ]
            )
            self._seq += at_once
            await until(self._all_seen)
        return watch.each(TENANTS * rounds * at_once, idle=anyway)

    async def hear(self) -> Micros:
        """What an announcement costs who has sockets of the tenant and none of the session."""
        stranger = await self._announcement("stranger")
        channels = [f"{{{callbacks(tenant)}}}:events" for tenant in self._tenants]
        anyway = await idle(self._stands)
        nobodys = [f"{channel}:nobody" for channel in channels]
        service: list[float] = []
        valkey: list[float] = []
        for _ in range(TURNS):
            unheard = await self._publish(nobodys, stranger, anyway)
            heard = await self._publish(channels, stranger, anyway)
            service.append(heard.service)
            valkey.append(heard.valkey - unheard.valkey)
        return Micros(statistics.median(service), statistics.median(valkey))

    async def _publish(self, channels: Sequence[str], message: bytes, anyway: Micros) -> Micros:
        watch = Watch(self._stands)
        await self._send(("SPUBLISH", channels[number % TENANTS], message) for number in range(HEARD))
        await asyncio.sleep(0.3)  # until the last ones were heard
        return watch.each(HEARD, idle=anyway)

    async def _announcement(self, tenant: str) -> bytes:
        """What a tenant's channel carries when an event comes."""
        async with self._agent.pubsub() as channel:
            await channel.ssubscribe(f"{{{callbacks(tenant)}}}:events")
            await begin(self._stands.services[0], [(tenant, "elsewhere")])
            while (message := await channel.get_message(timeout=10))["type"] != "smessage":
                pass
            return message["data"]

    async def _send(self, commands: Iterable[Command]) -> None:
        """Many agents at about the same time."""
        left = list(commands)
        for start in range(0, len(left), AT_ONCE):
            async with self._agent.pipeline(transaction=False) as pipeline:
                for command in left[start : start + AT_ONCE]:
                    pipeline.execute_command(*command)
                await pipeline.execute()

    def _all_seen(self) -> bool:
        return all(viewer.chunks.count >= self._seq for viewer in self._viewers)
