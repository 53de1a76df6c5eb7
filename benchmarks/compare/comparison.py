"""What each subject is asked to do, and what that cost: streams, round trips, and an answer when all else is still."""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from benchmarks.compare.subjects import Subject
from benchmarks.load.agent import Answering, Redis, chunk, connect, ending, task_ids
from benchmarks.load.people import Person, everyone
from benchmarks.measures import CALLBACKS, QUEUE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PUSHED_AT_ONCE: Final = 100
SETTLE_SECONDS: Final = 1.5
"""What a phase leaves behind, notes and the like, is not the next one's cost."""
PATIENCE_SECONDS: Final = 120


class Cost(msgspec.Struct, frozen=True):
    """What so many messages or events took."""

    count: int
    seconds: float
    cpu: dict[str, float]
    """Seconds of CPU by process."""

    @property
    def rate(self) -> float:
        """A second."""
        return self.count / self.seconds

    def micros(self, who: str = "service") -> float:
        """CPU each, µs."""
        return self.cpu[who] / self.count * 1e6

    def busy(self, who: str = "service") -> float:
        """Share of a core."""
        return self.cpu[who] / self.seconds


class Trips(NamedTuple):
    """Messages, each with its answer; latencies in ms."""

    cost: Cost
    p50: float
    p99: float


class Stopwatch:
    """The CPU and the time from here to `cost`."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._cpu = subject.cpu_seconds()
        self._began = time.perf_counter()

    def cost(self, count: int) -> Cost:
        """Of so many, done by now."""
        seconds = time.perf_counter() - self._began
        now = self._subject.cpu_seconds()
        return Cost(count, seconds, {who: now[who] - self._cpu[who] for who in now})


async def streamed(subject: Subject, *, tasks: int, chunks: int, sockets: int) -> Cost:
    """So many tasks whose pieces come mixed, as fast as they are taken; each socket follows its part of the tasks."""
    async with _people(subject, sockets, chunks) as people, _agent(subject) as agent:
        with _held_back(subject):
            await asyncio.gather(*(person.send(tasks // sockets) for person in people))
            ids = await _taken(agent, tasks) if subject.agent_pid is None else []
            await asyncio.sleep(SETTLE_SECONDS)
            reports = [chunk(task, seq) for seq in range(chunks) for task in ids] + list(map(ending, ids))
            over = _all_ended(people, tasks)
            seen = sum(person.viewer.chunks.count for person in people)
            watch = Stopwatch(subject)
        for start in range(0, len(reports), PUSHED_AT_ONCE):
            await agent.send("LPUSH", CALLBACKS, *reports[start : start + PUSHED_AT_ONCE])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await over
        cost = watch.cost(tasks * (chunks + 1))
        seen = sum(person.viewer.chunks.count for person in people) - seen
        # The service merges pieces where a reader lags: then fewer frames come than events.
        assert 0 < seen <= tasks * chunks, f"{seen} pieces of {tasks * chunks}"
        return cost


async def round_trips(subject: Subject, *, people: int, each: int) -> Trips:
    """Everybody sends the next message once the last was answered; the agent answers at once."""
    async with _people(subject, people, 0) as crowd, _answering(subject):
        await asyncio.gather(*(person.converse(2) for person in crowd))
        await asyncio.sleep(SETTLE_SECONDS)
        _forget(crowd)
        watch = Stopwatch(subject)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(person.converse(each) for person in crowd))
        return _trips(watch.cost(people * each), crowd)


async def alone(subject: Subject, *, count: int) -> Trips:
    """One message at a time, a pause between, nothing else going on."""
    async with _people(subject, 1, 0) as crowd, _answering(subject):
        await crowd[0].converse(20)
        _forget(crowd)
        watch = Stopwatch(subject)
        for _ in range(count):
            await asyncio.sleep(0.01)
            await crowd[0].converse(1)
        return _trips(watch.cost(count), crowd)


async def paced(subject: Subject, *, per_second: int, seconds: float, people: int = 50) -> Trips:
    """Messages at a steady pace, whatever their answers do."""
    count = int(per_second * seconds)
    async with _people(subject, people, 0) as crowd, _answering(subject):
        await asyncio.gather(*(person.converse(1) for person in crowd))
        await asyncio.sleep(SETTLE_SECONDS)
        _forget(crowd)
        watch, began, sent = Stopwatch(subject), time.perf_counter(), list[asyncio.Task[None]]()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            person = crowd[number % people]
            if not person.talks:  # who still waits for the last answer leaves his turn out
                sent.append(asyncio.create_task(person.converse(1)))
        await asyncio.gather(*sent)
        return _trips(watch.cost(len(sent)), crowd)


def _trips(cost: Cost, crowd: Sequence[Person]) -> Trips:
    return trips_of(cost, [seconds for person in crowd for seconds in person.latencies])


def trips_of(cost: Cost, latencies: Sequence[float]) -> Trips:
    """With the seconds that each message took."""
    took = sorted(seconds * 1000 for seconds in latencies)
    assert len(took) == cost.count, f"{len(took)} answers to {cost.count} messages"
    return Trips(cost, statistics.median(took), took[int(len(took) * 0.99)])


def _forget(crowd: Sequence[Person]) -> None:
    for person in crowd:
        person.latencies.clear()


def _all_ended(people: Sequence[Person], tasks: int) -> asyncio.Future[None]:
    """Done once so many endings have come to these people together."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = tasks

    def count(ended: int) -> None:
        nonlocal left
        left -= ended
        if left <= 0 and not over.done():
            over.set_result(None)

    for person in people:
        person.on_endings = count
    return over


async def _taken(agent: Redis, tasks: int) -> list[bytes]:
    """The ids of so many tasks, off their queue."""
    ids: list[bytes] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(ids) < tasks:
            ids += task_ids(await agent.send("RPOP", QUEUE, tasks) or [])
            await asyncio.sleep(0.01)
    return ids


@asynccontextmanager
async def _people(subject: Subject, count: int, chunks: int) -> "AsyncGenerator[list[Person]]":
    entrance = subject.entrance(chunks)
    people = [Person(entrance, f"{time.monotonic_ns():x}-{number}") for number in range(count)]
    try:
        await everyone(people)
        yield people
    finally:
        for person in people:
            person.go()


@asynccontextmanager
async def _agent(subject: Subject) -> "AsyncGenerator[Redis]":
    agent = await connect(subject.valkey_socket)
    try:
        yield agent
    finally:
        agent.close()


@asynccontextmanager
async def _answering(subject: Subject) -> "AsyncGenerator[None]":
    """While an agent answers; where the peer has its own, that one does."""
    if subject.agent_pid is not None:
        yield
        return
    async with _agent(subject) as agent:
        answering = asyncio.create_task(Answering(agent, QUEUE, CALLBACKS).run())
        try:
            yield
        finally:
            answering.cancel()
            with suppress(asyncio.CancelledError):
                await answering


class _held_back:  # noqa: N801 - used as a function
    """While a peer's own agent stands still, so that what is measured begins when all is there."""

    def __init__(self, subject: Subject) -> None:
        self._pid = subject.agent_pid

    def __enter__(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGCONT)
