"""exhume.lua: letters leave the dead letters, and their callbacks come on the queue again."""

import asyncio

import msgspec
import pytest
from tests.broker.tenant import SECOND, Tenant, callback

from orchestrator.broker.callbacks import HUGE_BYTES
from orchestrator.broker.connection import Refused
from orchestrator.broker.dead_letters import DeadLetter


async def kept(tenant: Tenant) -> list[str]:
    """The callbacks of the letters that are left; their bytes are those that are summed."""
    letters = await tenant.dead()
    summed = int(tenant.client.hget(tenant.key("tenant"), "dead_bytes") or 0)
    assert summed == sum(len(letter.entry) for letter in letters)
    return [letter.callback for letter in letters]


def waiting(tenant: Tenant) -> list[bytes]:
    """The callbacks on the queue, the next one to be taken first."""
    return tenant.client.lrange(tenant.queue, 0, -1)[::-1]


async def buried(tenant: Tenant, *bodies: bytes) -> list[DeadLetter]:
    """Letters of these, buried one after the other; the newest first."""
    for body in bodies:
        await tenant.deliver(body)
    return await tenant.dead()


async def test_replayed(tenant: Tenant) -> None:
    """The callbacks wait again in the order in which they were buried, byte by byte; the letters are gone."""
    newest, middle, oldest = await buried(tenant, b"1", b'{"a": \xff}', b"3")
    assert await tenant.letters.replay(tenant.name, [newest, oldest]) == ["replayed", "replayed"]

    assert waiting(tenant) == [b"1", b"3"]
    assert await kept(tenant) == [middle.callback]


async def test_purged(tenant: Tenant) -> None:
    """What is purged is nowhere."""
    letters = await buried(tenant, b"1", b"2", b"3")
    assert await tenant.letters.purge(tenant.name, letters[:2]) == ["purged", "purged"]

    assert waiting(tenant) == []
    assert await kept(tenant) == ["1"]


async def test_two_operators(tenant: Tenant) -> None:
    """Of two who replay the same letter one does, whenever; the other is told that it is gone."""
    letters = await buried(tenant, b"1", b"2")
    both = await asyncio.gather(*(tenant.letters.replay(tenant.name, letters) for _ in range(2)))
    assert sorted(outcome for outcomes in both for outcome in outcomes) == ["gone"] * 2 + ["replayed"] * 2
    assert await tenant.letters.purge(tenant.name, letters) == ["gone", "gone"]

    assert waiting(tenant) == [b"1", b"2"]
    assert await kept(tenant) == []


async def test_copies(tenant: Tenant) -> None:
    """Letters that nothing tells apart are one: all copies are replayed."""
    (letter,) = await buried(tenant, b"1")
    tenant.client.lpush(tenant.key("dead"), letter.entry)
    tenant.client.hincrby(tenant.key("tenant"), "dead_bytes", len(letter.entry))
    assert await tenant.letters.replay(tenant.name, [letter]) == ["replayed"]

    assert waiting(tenant) == [b"1", b"1"]
    assert await kept(tenant) == []


async def test_cut(tenant: Tenant) -> None:
    """Of one over 64 KiB a part is left, which is no callback: it stays, and can be purged."""
    raw = b'{"x":"' + b"y" * 70_000 + b'"}'
    tenant.report(raw)
    await tenant.callbacks.deliver_big(tenant.name, raw, None, "not_json")
    letters = await tenant.dead()
    assert await tenant.letters.replay(tenant.name, letters) == ["cut"]
    assert waiting(tenant) == []
    assert len(await kept(tenant)) == 1

    assert await tenant.letters.purge(tenant.name, letters) == ["purged"]
    assert await kept(tenant) == []


@pytest.mark.parametrize("status", ["progress", "completed"])
async def test_huge(tenant: Tenant, status: str) -> None:
    """Of one over 4 MiB the ends are left, however small they are: its letter tells its size, and it is cut."""
    raw = callback("task-nobodys", status, {"response": "x" * HUGE_BYTES})
    tenant.report(raw)
    await tenant.callbacks.deliver_huge(tenant.name)
    (letter,) = await tenant.dead()
    assert (letter.size, len(letter.entry) < 10_000) == (len(raw), True)
    assert await tenant.letters.replay(tenant.name, [letter]) == ["cut"]


async def test_many(tenant: Tenant) -> None:
    """More than one call takes keep their order."""
    bodies = [b"%d" % number + b"." * 30_000 for number in range(12)]
    letters = await buried(tenant, *bodies)
    assert await tenant.letters.replay(tenant.name, letters) == ["replayed"] * 12
    assert waiting(tenant) == bodies


async def test_what_was_mended_is_delivered(tenant: Tenant) -> None:
    """A callback whose task is known by then has its effect; one that is still wrong is a new letter."""
    task = await tenant.task()
    key = tenant.key(f"task:{task}")
    tenant.client.rename(key, tenant.key("aside"))
    await tenant.deliver(callback(task, "completed"), b"?")
    tenant.client.rename(tenant.key("aside"), key)
    letters = await tenant.dead()
    await tenant.letters.replay(tenant.name, letters)
    await tenant.deliver()

    assert (await tenant.record(task))["status"] == b"completed"
    (again,) = await tenant.dead()
    assert again.callback == "?"
    assert again.id not in {letter.id for letter in letters}


async def test_the_tenant_is_looked_at(tenant: Tenant) -> None:
    """A tenant that was silent for days is on the agenda before its queue is written to."""
    letters = await buried(tenant, b"?")
    agenda = tenant.broker.keys.agenda(tenant.name)
    tenant.client.delete(agenda)
    await tenant.letters.replay(tenant.name, letters)
    assert tenant.client.zscore(agenda, tenant.name) <= tenant.broker.clock.now()


async def test_nothing_half_done(tenant: Tenant) -> None:
    """A key of another type stops it before anything was taken out."""
    letters = await buried(tenant, b"?")
    tenant.client.set(tenant.queue, "in the way", ex=60)
    with pytest.raises(Refused, match="WRONGTYPE"):
        await tenant.letters.replay(tenant.name, letters)
    assert await kept(tenant) == ["?"]


async def test_the_sum_ends_with_the_letters(tenant: Tenant) -> None:
    """Letters that came to their end leave no sum behind that would push out the next ones."""
    tenant.client.hset(tenant.key("tenant"), "dead_bytes", 4 * 2**20)
    await tenant.deliver(b"?")
    assert await kept(tenant) == ["?"]


def old_letter(now: int) -> bytes:
    """A letter of an hour ago as an earlier version kept it."""
    head = msgspec.msgpack.encode(["not_json", now - 3_600 * SECOND, 1, ""])
    return len(head).to_bytes(2) + head + b"?"


async def test_without_a_sum(tenant: Tenant) -> None:
    """Where the sum is gone it is not invented."""
    earlier = old_letter(tenant.broker.clock.now())
    tenant.client.lpush(tenant.key("dead"), earlier, earlier + b"!")
    tenant.client.expire(tenant.key("dead"), 60)
    _, letter = await tenant.dead()
    assert await tenant.letters.replay(tenant.name, [letter]) == ["replayed"]
    assert not tenant.client.exists(tenant.key("tenant"))
