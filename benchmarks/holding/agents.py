"""The worst that agents may give Redis to do in one call, for `holding`."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple

from tests.broker.conversation import Conversation
from tests.broker.tenant import Tenant, callback, chunk

from orchestrator.broker.callbacks import BYTES_PER_CALL, HUGE_BYTES
from orchestrator.delivery.callback_handler import judge_big

KIB, MIB = 1024, 1024 * 1024
ROOM: Final = BYTES_PER_CALL - 100


class Case(NamedTuple):
    """What lies there before, and what is called then."""

    name: str
    prepare: Callable[[Tenant], Awaitable[Any]]
    act: Callable[[Tenant, Any], Awaitable[Any]]


def agents_cases() -> Iterator[Case]:
    """What comes back from agents."""
    for name, value in _values():
        yield Case(f"{BYTES_PER_CALL // KIB} KiB of {name}", _reported(_within(value, ROOM), 4), _pump)
    yield Case(
        "128 chunks", _reported(b'{"task_id":"T","status":"streaming","result":{"delta":"x"}}', 128), _pump
    )
    yield Case("100 messages taken, said ten times", _taken(100, 10), _pump)
    yield Case("one message taken, said in 128 callbacks", _taken(1, 128), _pump)
    for size in (MIB, HUGE_BYTES):
        yield Case(f"{size // MIB} MiB behind 15 small ones, 16 times", _behind(size), _pump_once)
    for status in ("completed", "progress", "streaming"):
        yield Case(f"1 MiB, {status}", _reported(_large(status, MIB - 200), 1), _take_big)
    yield Case("1 MiB, no JSON", _reported(b"x" * MIB, 1), _take_big)
    yield Case("1 MiB, cannot be delivered", _reported(b"x" * MIB, 1), _bury)
    for size in (2, 3, 4):
        yield Case(f"{size} MiB, completed", _reported(_large("completed", size * MIB - 200), 1), _take_big)
    yield Case("3 MiB, no JSON", _reported(b"x" * (3 * MIB), 1), _take_big)
    for size in (4, 15):
        yield Case(
            f"{size} MiB and more, completed", _reported(_large("completed", size * MIB), 1), _take_huge
        )
    yield Case("4 MiB of chunks, joined", _streamed(4 * MIB), _pump)
    yield Case("100 deadlines at once", _overdue(100), _tend)


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


def _streamed(size: int) -> Callable[[Tenant], Awaitable[None]]:
    """A task has streamed all that it may, and ends without an answer of its own."""

    async def prepare(tenant: Tenant) -> None:
        task = await tenant.task()
        piece = size // 256
        await tenant.deliver_all(*(chunk(task, "x" * piece, seq) for seq in range(256)))
        tenant.report(callback(task, "completed"))

    return prepare


async def _pump(tenant: Tenant, _: Any) -> None:
    while (await tenant.callbacks.deliver([tenant.name]))[0].left:
        pass


async def _pump_once(tenant: Tenant, _: Any) -> None:
    await tenant.callbacks.deliver([tenant.name])


async def _take_big(tenant: Tenant, _: Any) -> None:
    raw = await tenant.callbacks.peek(tenant.name) or b""
    await tenant.callbacks.deliver_big(tenant.name, raw, *judge_big(raw))


async def _bury(tenant: Tenant, _: Any) -> None:
    raw = await tenant.callbacks.peek(tenant.name) or b""
    await tenant.callbacks.bury(tenant.name, raw, "undeliverable")


async def _take_huge(tenant: Tenant, _: Any) -> None:
    await tenant.callbacks.deliver_huge(tenant.name)


def _overdue(count: int) -> Callable[[Tenant], Awaitable[None]]:
    async def prepare(tenant: Tenant) -> None:
        tasks = [await tenant.task() for _ in range(count)]
        tenant.client.zadd(tenant.key("outstanding"), dict.fromkeys(tasks, 1))

    return prepare


async def _tend(tenant: Tenant, _: Any) -> None:
    await tenant.tasks.tend(tenant.name)
