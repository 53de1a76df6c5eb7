"""Whether an event costs more where there is more of everything: tenants, sockets, sessions.

Two services, one with few and one with many, are measured in turns: what the machine does meanwhile concerns both, and
so does what the one with many does at rest.
Each round an agent reports ten chunks for each of the next ten of all tasks, and waits until they are seen: batches,
and what happens at once, are the same however many there are. What both spend at rest is not counted, nor is what a
task's first chunk costs beside others: few tasks would have theirs in the first round, many in every one.
"""

import asyncio
import itertools
import statistics
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from benchmarks.deployment import Measured
from benchmarks.figures import Figure
from benchmarks.load.agent import chunk, running, task_ids
from benchmarks.load.posts import post_each, request
from benchmarks.size.crowd import MARK, Crowd, place_of
from benchmarks.size.stand import Meter, Stand, run, standing, stood

TASKS_A_ROUND: Final = 10
CHUNKS_A_TASK: Final = 10
BLOCKS: Final = 12
ROUNDS_A_BLOCK: Final = 20
QUEUE: Final = "execution:agent-123:professional"
GOAL_PERCENT: Final = 15
_REST_SECONDS: Final = 4.0
"""Two rounds of the checks that go on while tasks are under way."""


class Spot(NamedTuple):
    """A session of a tenant."""

    tenant: str
    session: str


class Axis(NamedTuple):
    """What grows, from how many to how many."""

    name: str
    says: str
    few: int
    many: int


TENANTS: Final = Axis("tenants", "tenants, a socket each", 10, 5_000)
SOCKETS: Final = Axis("sockets", "sockets of one tenant, a session each", 100, 10_000)
SESSIONS: Final = Axis("sessions", "sessions of one tenant, one of them watched", 10, 10_000)


class Told(NamedTuple):
    """CPU of an event, µs."""

    service: float
    valkey: float


def figures(*, quick: bool) -> list[Figure]:
    """CPU of an event with few and with many, along each axis."""
    found: list[Figure] = []
    for axis in (TENANTS, SOCKETS, SESSIONS):
        sized = axis._replace(many=axis.many // 5) if quick else axis
        with stood() as few, stood() as many:
            found += run(_grown(few, many, sized))
    return found


async def _grown(few: Measured, many: Measured, axis: Axis) -> list[Figure]:
    async with standing(few) as small, standing(many) as large:
        scenes = Scene(small, axis), Scene(large, axis)
        for scene, count in zip(scenes, (axis.few, axis.many), strict=True):
            await scene.grow(count)
        for scene in scenes:
            await scene.settle()
        turns = [[await scene.block() for scene in scenes] for _ in range(BLOCKS)]
        for scene in scenes:
            scene.crowd.go()
    before, after = (_median(blocks) for blocks in zip(*turns, strict=True))
    return [_rise(axis, before, after, who) for who in Told._fields]


def _median(blocks: Sequence[Told]) -> Told:
    return Told(*(statistics.median(figures) for figures in zip(*blocks, strict=True)))


def _rise(axis: Axis, few: Told, many: Told, who: str) -> Figure:
    before, after = getattr(few, who), getattr(many, who)
    return Figure(
        name=f"growth_{axis.name}_{who}_percent",
        says=f"{who} CPU an event, {axis.few:,} → {axis.many:,} {axis.says}",
        value=(after / before - 1) * 100,
        unit="%",
        goal=GOAL_PERCENT,
        note=f"{before:.1f} → {after:.1f} µs",
    )


class Scene:
    """Running tasks, and sockets that see what comes of them."""

    def __init__(self, stand: Stand, axis: Axis) -> None:
        self.crowd = Crowd(stand.port, self._saw)
        self._stand = stand
        self._axis = axis
        self._one_is_watched = axis.name == SESSIONS.name
        self._tasks: list[tuple[Spot, bytes]] = []
        self._seqs = itertools.count()
        self._expected = 0
        self._all_seen = asyncio.Event()
        self._rest = Told(0, 0)
        """Share of a core of both while nothing comes: checks, heartbeats, pings."""
        self._rounds = self._chosen()

    async def grow(self, count: int) -> None:
        """As many as that."""
        spots = [self._spot(number) for number in range(count)]
        watched = spots[:1] if self._one_is_watched else spots
        await self.crowd.come([place_of(*spot) for spot in watched])
        self._tasks = list(zip(spots, await self._sent(spots), strict=True))
        for (tenant, _), task in self._tasks:
            begun = running(task), chunk(task, next(self._seqs))
            self._stand.redis.send("LPUSH", f"orchestrator:{tenant}:callbacks", *begun)
        await asyncio.sleep(_REST_SECONDS)  # what comes with them is no part of what an event costs

    async def settle(self) -> None:
        """Learn what is spent at rest, and run one block for nothing."""
        meter = Meter(self._stand.measured)
        await asyncio.sleep(_REST_SECONDS)
        spent = meter.read()
        self._rest = Told(spent.service / spent.seconds, spent.valkey / spent.seconds)
        await self.block()

    async def block(self) -> Told:
        """What an event costs, without what is spent at rest."""
        meter, events = Meter(self._stand.measured), 0
        for chosen in itertools.islice(self._rounds, ROUNDS_A_BLOCK):
            events += await self._round(chosen)
        spent = meter.read()
        return Told(
            (spent.service - self._rest.service * spent.seconds) / events * 1e6,
            (spent.valkey - self._rest.valkey * spent.seconds) / events * 1e6,
        )

    def _spot(self, number: int) -> Spot:
        return Spot(f"t-{number}" if self._axis.name == TENANTS.name else "acme", f"s-{number}")

    async def _sent(self, spots: Sequence[Spot]) -> list[bytes]:
        sends = [request("/api/chat/send", _headers(spot), b'{"message":"hello"}') for spot in spots]
        ids = [task_ids([body])[0] for body in await post_each(self._stand.port, sends, 202)]
        await self._stand.redis.send("DEL", QUEUE)
        return ids

    def _chosen(self) -> Iterator[list[tuple[Spot, bytes]]]:
        """Ten tasks after ten, for ever; where not all are watched, nine of the others and the watched one last."""
        last = self._tasks[:1] if self._one_is_watched else []
        others = itertools.cycle(self._tasks[len(last) :])
        while True:
            yield [*itertools.islice(others, TASKS_A_ROUND - len(last)), *last]

    async def _round(self, chosen: Sequence[tuple[Spot, bytes]]) -> int:
        """Report, and wait until every watched chunk was seen; how many were reported."""
        watched = [one for one in chosen if one == self._tasks[0]] if self._one_is_watched else chosen
        self._expected = len(watched)
        self._all_seen.clear()
        for (tenant, _), task in chosen:
            reports = [chunk(task, next(self._seqs)) for _ in range(CHUNKS_A_TASK - 1)]
            reports.append(chunk(task, next(self._seqs), MARK))
            self._stand.redis.send("LPUSH", f"orchestrator:{tenant}:callbacks", *reports)
        async with asyncio.timeout(10):
            await self._all_seen.wait()
        return CHUNKS_A_TASK * len(chosen)

    def _saw(self, count: int) -> None:
        self._expected -= count
        if self._expected <= 0:
            self._all_seen.set()


def _headers(spot: Spot) -> dict[str, str]:
    return {
        "X-Tenant-ID": spot.tenant,
        "X-Session-ID": spot.session,
        "X-Agent-ID": "agent-123",
        "X-Tenant-Tier": "professional",
    }
