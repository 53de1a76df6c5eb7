"""take.lua and push.lua: whoever removes the element owns the attempt (docs/architecture.md)."""

from typing import Literal

from tests.broker.tenant import QUEUE, Tenant

from orchestrator.broker.connection import Reply


async def push(tenant: Tenant, attempt: int = 1) -> bool:
    """Push an attempt of task-1, a later one as the next to be taken; its payload is its number."""
    side: Literal["left", "right"] = "left" if attempt == 1 else "right"
    payload = str(attempt).encode()
    return await tenant.admissions.push(
        QUEUE, "task-1", attempt, payload, 60_000, side=side, old_attempt=attempt - 1
    )


async def take(tenant: Tenant, attempt: int = 1) -> Reply:
    """Take an attempt of task-1."""
    return await tenant.broker.run("take", QUEUE, "task-1", attempt)


async def test_taken_once(tenant: Tenant) -> None:
    """The first to take it has it, also where it lies behind others; a push of it comes too late then."""
    tenant.client.lpush(QUEUE, b"oldest")
    await push(tenant)
    assert await take(tenant) == b"1"
    assert await take(tenant) is None
    assert not await push(tenant)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"oldest"]


async def test_the_marker_lives_on(tenant: Tenant) -> None:
    """It ends when it would have: a push may be repeated until then."""
    await push(tenant)
    await take(tenant)
    marker = f"{{{QUEUE}}}:t:task-1:1"
    assert tenant.client.get(marker) == b"taken"
    assert 50_000 < tenant.client.pttl(marker) <= 60_000


async def test_a_plain_consumer_was_faster(tenant: Tenant) -> None:
    """Who popped the element has it; one that gives it back lets others take it."""
    await push(tenant)
    element = tenant.client.rpop(QUEUE)
    assert await take(tenant) is None
    tenant.client.rpush(QUEUE, element)
    assert await take(tenant) == b"1"


async def test_never_pushed(tenant: Tenant) -> None:
    """There is nothing to take, and nothing is left of the question."""
    assert await take(tenant) is None
    assert not tenant.client.keys()


async def test_withdrawn(tenant: Tenant) -> None:
    """What was withdrawn cannot be taken."""
    await push(tenant)
    assert await tenant.admissions.withdraw(QUEUE, "task-1", 1, 60_000)
    assert await take(tenant) is None


async def test_a_next_attempt_replaces_the_one_before(tenant: Tenant) -> None:
    """The earlier one leaves the queue, can neither be taken nor pushed again, and the next is taken first."""
    tenant.client.lpush(QUEUE, b"other")
    await push(tenant)
    assert await push(tenant, 2)
    assert not await push(tenant, 2)
    assert tenant.client.lrange(QUEUE, 0, -1) == [b"other", b"2"]
    assert await take(tenant) is None
    assert not await push(tenant)
    assert await take(tenant, 2) == b"2"
