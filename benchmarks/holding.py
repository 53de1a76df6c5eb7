"""How long one call of a script holds Redis, at the worst that agents and tenants may give it.

Redis does one thing at a time, so whatever holds it holds everybody. The server's own clock tells (`SLOWLOG`): of each
case the shortest of some tries, since everything longer is this machine's doing, and of each try its longest call.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from tests.broker.conversation import Conversation
from tests.broker.tenant import KEEPING, Tenant, callback, raw_client
from tests.servers import valkey_server

from orchestrator.broker.broker import Broker
from orchestrator.broker.callbacks import HUGE_BYTES
from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.broker.keys import Keys
from orchestrator.delivery.callback_handler import judge_big

TRIES: Final = 5
KIB, MIB = 1024, 1024 * 1024
ROOM: Final = 64 * KIB - 100
HOME: Final = "orchestrator:acme:callbacks"


class Case(NamedTuple):
    """What lies there before, and what is called then."""

    name: str
    prepare: Callable[[Tenant], Awaitable[Any]]
    act: Callable[[Tenant, Any], Awaitable[Any]]


def run() -> None:
    """Print a table, the longest first."""
    with (
        tempfile.TemporaryDirectory() as folder,
        valkey_server(Path(folder)) as server,
        raw_client(server.port) as client,
    ):
        found = asyncio.run(_measure(server.url, client))
    print(f"{'ms':>8}  the longest call")
    for milliseconds, name in sorted(found, reverse=True):
        print(f"{milliseconds:>8.2f}  {name}")


async def _measure(url: str, client: Any) -> list[tuple[float, str]]:
    async with Broker(url, Keys("orchestrator", "orchestrator"), KEEPING) as broker:
        await broker.set_clock()
        tenant = Tenant(broker, client)
        return [(await _shortest(tenant, case), case.name) for case in _cases()]


async def _shortest(tenant: Tenant, case: Case) -> float:
    tries = [await _longest(tenant, case) for _ in range(TRIES)]
    return min(tries) / 1000


async def _longest(tenant: Tenant, case: Case) -> int:
    tenant.client.flushall()
    prepared = await case.prepare(tenant)
    tenant.client.config_set("slowlog-log-slower-than", 0)
    tenant.client.execute_command("SLOWLOG", "RESET")
    await case.act(tenant, prepared)
    entries = tenant.client.execute_command("SLOWLOG", "GET", 128)
    tenant.client.config_set("slowlog-log-slower-than", 1_000_000)
    return max(entry[2] for entry in entries if entry[3][0].upper() in {b"EVALSHA", b"LINDEX"})


def _cases() -> Iterator[Case]:
    for name, value in _values():
        yield Case(f"64 KiB of {name}", _reported(_within(value, ROOM), 4), _pump)
    yield Case(
        "128 chunks", _reported(b'{"task_id":"T","status":"streaming","result":{"delta":"x"}}', 128), _pump
    )
    yield Case("100 messages taken, said ten times", _taken(100, 10), _pump)
    yield Case("one message taken, said in 128 callbacks", _taken(1, 128), _pump)
    for size in (MIB, HUGE_BYTES):
        yield Case(f"{size // MIB} MiB behind 15 small ones, 16 times", _behind(size), _pump_once)
    for status in ("completed", "progress", "streaming"):
        yield Case(f"1 MiB, {status}", _reported(_large(status, MIB - 200), 1), _take_big)
    yield Case("3 MiB, completed", _reported(_large("completed", 3 * MIB), 1), _take_big)
    for size in (4, 15):
        yield Case(f"{size} MiB, completed", _reported(_large("completed", size * MIB), 1), _take_huge)
    yield Case("100 deadlines at once", _overdue(100), _tend)
    yield Case("a page of 500 messages and their endings", _ended(1_000), _open)
    yield Case("explain: 20 tasks behind 250 tenants", _crowd(1, 1), _explain)
    yield Case("explain: 20 contexts, 250 tenants in 90", _crowd(90, 1), _explain)
    yield Case("explain: 20 contexts with 200 of its own each", _crowd(90, 200), _explain)


def _values() -> Iterator[tuple[str, bytes]]:
    """What a list in a callback repeats."""
    yield "text", b'"' + b"x" * 1_000 + b'"'
    yield "numbers", b"1"
    yield "numbers with exponents", b"1e308"
    yield "the least numbers", b"2.2250738585072011e-308"
    yield "empty objects", b"{}"
    yield "empty lists", b"[]"
    yield "lists in lists", b"[" * 900 + b"]" * 900
    yield "objects in objects", b'{"":' * 900 + b"1" + b"}" * 900
    yield "short texts", b'"ab"'
    yield "escapes", b'"' + b"\\u00e9" * 100 + b'"'


def _within(value: bytes, room: int) -> bytes:
    many = b",".join([value] * (room // (len(value) + 1)))
    return b'{"task_id":"T","status":"progress","result":{"a":[' + many + b"]}}"


def _large(status: str, size: int) -> bytes:
    pad = b"x" * size
    return b'{"task_id":"T","status":"%b","result":{"delta":"%b"}}' % (status.encode(), pad)


def _reported(raw: bytes, times: int) -> Callable[[Tenant], Awaitable[None]]:
    async def prepare(tenant: Tenant) -> None:
        task = await tenant.task()
        tenant.report(*[raw.replace(b'"T"', b'"%b"' % task.encode())] * times)

    return prepare


def _taken(each: int, times: int) -> Callable[[Tenant], Awaitable[None]]:
    """An agent says in `times` callbacks that it took messages of its inbox, all there are."""

    async def prepare(tenant: Tenant) -> None:
        talk = Conversation(tenant)
        target = await talk.started()
        first = await talk.say("steer")
        record = tenant.client.hgetall(tenant.key(f"task:{first}"))
        line = tenant.client.lindex(tenant.key(f"inbox:{target}"), 0)
        names = [f"task-copy-{number}" for number in range(each * times)]
        with tenant.client.pipeline(transaction=False) as copying:
            for name in names:
                copying.hset(tenant.key(f"task:{name}"), mapping=record)
                copying.rpush(tenant.key(f"inbox:{target}"), line.replace(first.encode(), name.encode()))
            copying.execute()
        pieces = [names[start : start + each] for start in range(0, len(names), each)]
        tenant.report(*(callback(target, "running", took=piece) for piece in pieces))

    return prepare


def _behind(size: int) -> Callable[[Tenant], Awaitable[None]]:
    async def prepare(tenant: Tenant) -> None:
        tenant.report(*[b"x"] * 15)
        for _ in range(16):
            tenant.report(b"x" * size)

    return prepare


async def _pump(tenant: Tenant, _: Any) -> None:
    while (await tenant.callbacks.deliver([tenant.name]))[0].left:
        pass


async def _pump_once(tenant: Tenant, _: Any) -> None:
    await tenant.callbacks.deliver([tenant.name])


async def _take_big(tenant: Tenant, _: Any) -> None:
    raw = await tenant.callbacks.peek(tenant.name) or b""
    await tenant.callbacks.deliver_big(tenant.name, raw, *judge_big(raw))


async def _take_huge(tenant: Tenant, _: Any) -> None:
    await tenant.callbacks.deliver_huge(tenant.name)


def _overdue(count: int) -> Callable[[Tenant], Awaitable[None]]:
    async def prepare(tenant: Tenant) -> None:
        tasks = [await tenant.task() for _ in range(count)]
        tenant.client.zadd(tenant.key("outstanding"), dict.fromkeys(tasks, 1))

    return prepare


async def _tend(tenant: Tenant, _: Any) -> None:
    await tenant.tasks.tend(tenant.name)


def _ended(count: int) -> Callable[[Tenant], Awaitable[None]]:
    async def prepare(tenant: Tenant) -> None:
        tasks = [await tenant.task() for _ in range(count // 2)]
        await tenant.deliver_all(*(callback(task, "completed", {"response": "x"}) for task in tasks))

    return prepare


async def _open(tenant: Tenant, _: Any) -> None:
    await tenant.open("earliest")


def _crowd(contexts: int, own: int) -> Callable[[Tenant], Awaitable[list[tuple[str, int, str, str]]]]:
    """250 tenants wait in these contexts, and so does ours: the last of what it has in each of 20 is asked for."""

    async def prepare(tenant: Tenant) -> list[tuple[str, int, str, str]]:
        dispatch = Dispatch(tenant.broker.run)
        names = [f"agent-{number}" for number in range(contexts)]
        await dispatch.register("w1", names, 4, 60_000)
        for number in range(250):
            home = f"orchestrator:t{number}:callbacks"
            waits = [
                Waiting(f"task-{number}-{n}", 1, names[(3 * number + n) % contexts], "free", home)
                for n in range(3)
            ]
            await dispatch.ready(waits)
        asked: list[tuple[str, int, str, str]] = []
        for number in range(20):
            context = names[number % contexts]
            waits = [Waiting(f"task-o-{number}-{n}", 1, context, "free", HOME) for n in range(own)]
            await dispatch.ready(waits)
            asked.append((waits[-1].task, 1, context, "free"))
        return asked

    return prepare


async def _explain(tenant: Tenant, asked: list[tuple[str, int, str, str]]) -> None:
    await tenant.broker.run("explain", "{dispatch}:workers", msgspec.msgpack.encode((HOME, asked)))
