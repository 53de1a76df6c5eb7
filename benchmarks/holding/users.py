"""The worst that users, viewers and workers may give Redis to do in one call, for `holding`."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec
from tests.broker.conversation import MARKER_MS, Conversation
from tests.broker.tenant import QUEUE, Tenant, callback

from benchmarks.holding.agents import KIB, Case
from orchestrator.broker.dispatch import Dispatch, Waiting
from orchestrator.broker.logs import Settled, Touch
from orchestrator.delivery.callback_handler import judge_big

HOME: Final = "orchestrator:acme:callbacks"
BODY: Final = b"x" * (256 * KIB)


def users_cases() -> Iterator[Case]:
    """What users send and viewers ask for, and what the dispatch of their tasks costs."""
    yield Case("admit: 256 KiB", _nothing, _admit)
    yield Case("admit: in the place of 100", _waiting(100, b"{}"), _replace)
    yield Case("admit: to be merged with 100 of 10 KiB", _waiting(100, b"x" * 10 * KIB), _merge)
    yield Case("admit: to be merged with 100 of 250 KiB", _waiting(100, b"x" * 250 * KIB), _merge)
    yield Case("push: 256 KiB", _nothing, _push)
    yield Case("push: in the place of the first of 1 000", _pushed(1_000), _push_again)
    yield Case("touch: 100 sessions with 10 tasks each", _sessions(100, 10), _touch)
    yield Case("settle: 1 000 endings", _ended(2_000), _settle)
    yield Case("a page of 500 messages and their endings", _ended(1_000), _open)
    yield Case("a page of endings of 1 MiB", _large_endings(3), _open)
    yield Case("finish: 1 000 attempts", _started(1_000), _finish)
    yield Case("finish: an attempt, and its pool is drawn back", _behind_many(250), _finish_one)
    yield Case("explain: 20 tasks behind 250 tenants", _crowd(1, 1), _explain)
    yield Case("explain: 20 contexts, 250 tenants in 90", _crowd(90, 1), _explain)
    yield Case("explain: 20 contexts with 200 of its own each", _crowd(90, 200), _explain)


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


async def _nothing(_: Tenant) -> None:
    """Whatever comes is the first."""


async def _admit(tenant: Tenant, _: Any) -> None:
    await tenant.admit(BODY)


def _waiting(count: int, payload: bytes) -> Callable[[Tenant], Awaitable[Conversation]]:
    """Messages wait behind one that an agent has."""

    async def prepare(tenant: Tenant) -> Conversation:
        talk = Conversation(tenant)
        await talk.started()
        for _ in range(count):
            await tenant.admit(payload, turn_policy="queue")
        return talk

    return prepare


async def _replace(_: Tenant, talk: Conversation) -> None:
    await talk.admit(talk.request("latest"))


async def _merge(tenant: Tenant, talk: Conversation) -> None:
    await tenant.admissions.admit(tenant.name, talk.request("merge"), b"{}")


async def _push(tenant: Tenant, _: Any) -> None:
    await tenant.admissions.push(QUEUE, "task-1", 1, BODY, MARKER_MS)


def _pushed(count: int) -> Callable[[Tenant], Awaitable[None]]:
    async def prepare(tenant: Tenant) -> None:
        for number in range(count):
            await tenant.admissions.push(
                QUEUE, f"task-{number}", 1, b"%d" % number + BODY[: 8 * KIB], MARKER_MS
            )

    return prepare


async def _push_again(tenant: Tenant, _: Any) -> None:
    await tenant.admissions.push(QUEUE, "task-999", 2, BODY, MARKER_MS, old_attempt=1)


def _sessions(count: int, each: int) -> Callable[[Tenant], Awaitable[list[str]]]:
    """Sessions whose newest tasks have all ended."""

    async def prepare(tenant: Tenant) -> list[str]:
        names = [f"sess-{number}" for number in range(count)]
        tasks = [await tenant.task(session=name) for name in names for _ in range(each)]
        await tenant.deliver_all(*(callback(task, "completed") for task in tasks))
        for name in names:
            tenant.client.hset(tenant.key(f"session:{name}"), "expires", 1)
        return names

    return prepare


async def _touch(tenant: Tenant, names: list[str]) -> None:
    await tenant.logs.touch("r1", [Touch(tenant.name, names, 100)])


async def _settle(tenant: Tenant, _: Any) -> None:
    epoch, top = tenant.client.hmget(tenant.key("session:sess-1"), "epoch", "top")
    await tenant.logs.settle(tenant.name, [Settled("sess-1", epoch.decode(), int(top), int(top))])


def _large_endings(count: int) -> Callable[[Tenant], Awaitable[None]]:
    async def prepare(tenant: Tenant) -> None:
        for _ in range(count):
            raw = callback(await tenant.task(), "completed", {"response": "x" * (1024 * KIB - 200)})
            tenant.report(raw)
            await tenant.callbacks.deliver_big(tenant.name, raw, *judge_big(raw))

    return prepare


def _started(count: int) -> Callable[[Tenant], Awaitable[list[tuple[str, int]]]]:
    """One worker has as many runs as a message may take the place of."""

    async def prepare(tenant: Tenant) -> list[tuple[str, int]]:
        dispatch = Dispatch(tenant.broker.run)
        await dispatch.register("w1", ["agent-1"], count, 60_000)
        await dispatch.ready([Waiting(f"task-{n}", 1, "agent-1", "free", HOME) for n in range(count)])
        return [(run.task, run.attempt) for run in await dispatch.claim("w1", 60_000, count)]

    return prepare


def _behind_many(tenants: int) -> Callable[[Tenant], Awaitable[list[tuple[str, int]]]]:
    """A run that took no time at all, of a tenant with many behind it."""

    async def prepare(tenant: Tenant) -> list[tuple[str, int]]:
        runs = await _started(2)(tenant)
        dispatch = Dispatch(tenant.broker.run)
        names = [f"agent-{n}" for n in range(90)]
        await dispatch.register("w1", names, 4, 60_000)
        for number in range(tenants):
            home = f"orchestrator:t{number}:callbacks"
            await dispatch.ready([Waiting(f"task-{number}-{name}", 1, name, "free", home) for name in names])
        return runs

    return prepare


async def _finish(tenant: Tenant, runs: list[tuple[str, int]]) -> None:
    await Dispatch(tenant.broker.run).finish(runs, tell=True)


async def _finish_one(tenant: Tenant, runs: list[tuple[str, int]]) -> None:
    await Dispatch(tenant.broker.run).finish(runs[:1], "w1")
