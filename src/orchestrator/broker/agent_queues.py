"""What an agent asks of Redis: take tasks, report on them, see which were cancelled."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self, TypeVar, cast

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ClusterError, RedisClusterException, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

SCHEMES: Final = ("redis", "rediss", "unix", "redis+cluster")
_CLUSTER: Final = "redis+cluster:"

_FAULTS: Final = (RedisError, RedisClusterException, OSError)
_SOCKET_TIMEOUT: Final = 5.0
_COMMANDS_AT_ONCE: Final = 16
_ANY: Final = "any"
_LEAST_PAUSE, _MOST_PAUSE = 0.05, 2.0

_Client = Redis | RedisCluster
_Answer = TypeVar("_Answer")


class Taken(msgspec.Struct, frozen=True):
    """One element of a task queue; who took it owns the attempt."""

    queue: str
    payload: bytes


class Outage(msgspec.Struct, frozen=True):
    """Redis cannot be reached, or refuses one operation; without `error`: that is over."""

    operation: str
    error: str | None
    seconds: float = 0.0


class AgentQueues:
    """The agent's side of task queues and callback queues; open it with `async with`.

    `redis_url` has one of the schemes in `SCHEMES`, else ValueError. No method raises because
    Redis is away: takes come back empty after a pause, reports are repeated until they arrive.
    `on_outage` hears of it once when it begins and once when it is over.
    """

    def __init__(self, redis_url: str, on_outage: Callable[[Outage], None]) -> None:
        self.in_cluster: Final = redis_url.startswith(_CLUSTER)
        # What waits for tasks has connections of its own, so that it never holds back a report.
        self._waiting = _client(redis_url)
        self._commands = _client(redis_url)
        self._turn = asyncio.Semaphore(_COMMANDS_AT_ONCE)
        self._outages = _Outages(on_outage)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._waiting.aclose()
        await self._commands.aclose()

    async def take(self, queues: Sequence[str], timeout: float) -> Taken | None:
        """The oldest task of the first of `queues` that has one; waits at most `timeout` seconds.

        Never cancel it: a task that the server popped and nobody read is lost. `timeout` stays
        well under 5, or the client gives up before the server answers. In a Cluster `queues` is
        one queue, since queues lie in different slots.
        """
        waiting = cast("Awaitable[list[bytes] | None]", self._waiting.brpop(list(queues), timeout))
        try:
            found = await self._tried("take", waiting)
        except _AwayError:
            return await self._outages.pause()
        return Taken(found[0].decode(), found[1]) if found else None

    async def take_now(self, queues: Sequence[str]) -> Taken | None:
        """As `take`, without waiting, and over any slots of a Cluster."""
        try:
            depths = await self._tried("take", self._pipelined("LLEN", queues))
            for queue, depth in zip(queues, depths, strict=True):
                popped = cast("Awaitable[bytes | None]", self._waiting.rpop(queue)) if depth else None
                payload = await self._tried("take", popped) if popped else None
                if payload is not None:
                    return Taken(queue, payload)
        except _AwayError:
            await self._outages.pause()
        return None

    async def give_back(self, taken: Taken) -> None:
        """Makes a task that was not begun the next one of its queue again.

        It is tried once: a task twice in its queue would run twice as the same attempt, which is
        worse than one that waits for its deadline.
        """
        pushing = self._commands.rpush(taken.queue, taken.payload)
        with suppress(_AwayError):
            await self._tried("give_back", pushing)

    async def report(self, callback_queue: str, payload: bytes) -> None:
        """Pushes one callback, again and again while Redis is away.

        A push whose answer got lost arrives twice. That is safe only because the service drops a
        `seq` and an ending that it has seen. Order is kept by awaiting one before the next.
        """
        while True:
            pushing = self._commands.lpush(callback_queue, payload)
            try:
                async with self._turn:
                    await self._tried("report", pushing)
            except _AwayError:
                await self._outages.pause()
            else:
                return

    async def cancelled(self, cancel_keys: Sequence[str]) -> set[str]:
        """Those of `cancel_keys` that exist; none while Redis is away."""
        try:
            async with self._turn:
                found = await self._tried("watch", self._pipelined("EXISTS", cancel_keys))
        except _AwayError:
            return set()
        return {key for key, exists in zip(cancel_keys, found, strict=True) if exists}

    async def _pipelined(self, command: str, keys: Sequence[str]) -> list[int]:
        pipeline: Any = self._commands.pipeline(transaction=False)
        async with pipeline:
            for key in keys:
                pipeline.execute_command(command, key)
            return await pipeline.execute()

    async def _tried(self, operation: str, call: Awaitable[_Answer]) -> _Answer:
        try:
            answer = await call
        except _FAULTS as error:
            self._outages.began(operation, error)
            raise _AwayError from error
        self._outages.ended(operation)
        return answer


class _AwayError(Exception):
    """Redis did not do what it was asked."""


class _Outages:
    """What fails, and since when."""

    def __init__(self, tell: Callable[[Outage], None]) -> None:
        self._tell = tell
        self._since: dict[str, float] = {}

    def began(self, operation: str, error: Exception) -> None:
        # A server that answers with a refusal is there: only this operation is in trouble.
        refused = isinstance(error, ResponseError) and not isinstance(error, ClusterError)
        what = operation if refused else _ANY
        if what not in self._since:
            self._since[what] = time.monotonic()
            self._tell(Outage(what, f"{type(error).__name__}: {error}"))

    def ended(self, operation: str) -> None:
        for what in (_ANY, operation) if self._since else ():
            since = self._since.pop(what, None)
            if since is not None:
                self._tell(Outage(what, None, round(time.monotonic() - since, 1)))

    async def pause(self) -> None:
        """Waits about as long as the oldest outage has lasted: the waits double by themselves."""
        lasted = time.monotonic() - min(self._since.values(), default=time.monotonic())
        longest = min(max(lasted, _LEAST_PAUSE), _MOST_PAUSE)
        await asyncio.sleep(longest * random.uniform(0.5, 1))


def check_url(redis_url: str) -> None:
    """ValueError where the URL has none of the known schemes."""
    scheme, _, address = redis_url.partition("://")
    if scheme not in SCHEMES or not address:
        raise ValueError(f"a Redis URL begins with one of {', '.join(f'{known}://' for known in SCHEMES)}")


def _client(redis_url: str) -> _Client:
    check_url(redis_url)
    options: dict[str, Any] = {
        "protocol": 2,
        # redis-py would send a push whose answer is late again by itself, also where that is not safe.
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": _SOCKET_TIMEOUT,
        "socket_connect_timeout": _SOCKET_TIMEOUT,
        "max_connections": 2**16,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if redis_url.startswith(_CLUSTER):
        # A MOVED must not close the client's other connections: tasks may be on their way on them.
        return RedisCluster.from_url(
            redis_url.replace(_CLUSTER, "redis:", 1), reinitialize_steps=0, **options
        )
    single: Any = Redis
    return single.from_url(redis_url, **options)
