"""remember_access.lua and forget_access.lua: an answer holds until the record changes, and no longer (contract §6)."""

import msgspec
from tests.broker.tenant import AGENT, SECOND, Tenant

from orchestrator.broker.access_cache import GENERATION_TTL_SECONDS, AccessCache, ContextAnswer


async def verdict(tenant: Tenant, *contexts: str) -> tuple[str, str]:
    """What an admission hears about these contexts."""
    reply = await tenant.admit(validate=True, contexts=list(contexts or (AGENT,)))
    return reply.outcome, reply.detail


async def test_remembered(tenant: Tenant) -> None:
    """Good and bad answers are kept; each context has one of its own."""
    cache = AccessCache(tenant.broker, 300)
    await cache.remember(
        tenant.name, "0", "free", {}, {AGENT: ContextAnswer(True), "agent-x": ContextAnswer(False)}
    )
    assert await verdict(tenant) == ("accepted", "")
    assert await verdict(tenant, AGENT, "agent-x") == ("access_denied", "agent-x")
    assert await verdict(tenant, AGENT, "agent-unknown") == ("ask", "0")
    assert 290 < tenant.client.ttl(tenant.key("access")) <= 300


async def test_further_answers_join(tenant: Tenant) -> None:
    """A later answer about other contexts leaves the earlier ones."""
    cache = AccessCache(tenant.broker, 300)
    await cache.remember(tenant.name, "0", "free", {}, {AGENT: ContextAnswer(True)})
    await cache.remember(tenant.name, "0", "free", {}, {"agent-y": ContextAnswer(True)})
    assert (await verdict(tenant, AGENT, "agent-y"))[0] == "accepted"


async def test_void_after_a_change(tenant: Tenant) -> None:
    """A change of the record voids what is cached at once."""
    cache = AccessCache(tenant.broker, 300)
    await cache.remember(tenant.name, "0", "free", {}, {AGENT: ContextAnswer(True)})
    await cache.forget([tenant.name])
    outcome, generation = await verdict(tenant)
    assert (outcome, generation != "0") == ("ask", True)
    await cache.remember(tenant.name, generation, "free", {}, {AGENT: ContextAnswer(True)})
    assert (await verdict(tenant))[0] == "accepted"


async def test_answer_read_before_a_change(tenant: Tenant) -> None:
    """A reader that was half way when the record changed cannot write its old answer."""
    cache = AccessCache(tenant.broker, 300)
    _, generation = await verdict(tenant)
    await cache.forget([tenant.name])
    await cache.remember(tenant.name, generation, "free", {}, {AGENT: ContextAnswer(True)})
    assert (await verdict(tenant))[0] == "ask"
    assert not tenant.client.exists(tenant.key("access"))


async def test_each_change_is_a_generation(tenant: Tenant) -> None:
    """Two changes in the same microsecond, or after a clock that stepped back, still count as two."""
    cache = AccessCache(tenant.broker, 300)
    ahead = tenant.broker.clock.now() + 3_600 * SECOND
    tenant.client.set(tenant.key("generation"), ahead, ex=60)
    await cache.forget([tenant.name])
    assert int(tenant.client.get(tenant.key("generation"))) == ahead + 1
    assert tenant.client.ttl(tenant.key("generation")) > GENERATION_TTL_SECONDS - 5


async def test_old_answer(tenant: Tenant) -> None:
    """An answer is believed for its time, though others of the tenant are younger."""
    await AccessCache(tenant.broker, 300).remember(
        tenant.name, "0", "free", {}, {AGENT: ContextAnswer(True), "agent-y": ContextAnswer(True)}
    )
    past = msgspec.msgpack.encode(["0", tenant.broker.clock.now() - SECOND, True])
    tenant.client.hset(tenant.key("access"), AGENT, past)
    assert (await verdict(tenant))[0] == "ask"
    assert (await verdict(tenant, "agent-y"))[0] == "accepted"


async def test_names_that_are_tried_out(tenant: Tenant) -> None:
    """A cache that is full begins anew: guessing names fills no memory."""
    cache = AccessCache(tenant.broker, 300)
    await cache.remember(
        tenant.name, "0", "free", {}, {f"agent-{n}": ContextAnswer(False) for n in range(1_001)}
    )
    await cache.remember(tenant.name, "0", "free", {}, {AGENT: ContextAnswer(True)})
    assert tenant.client.hlen(tenant.key("access")) == 2
    assert (await verdict(tenant))[0] == "accepted"


async def test_tenants_are_apart(tenant: Tenant) -> None:
    """A change at one tenant voids nothing of another."""
    cache, other = AccessCache(tenant.broker, 300), tenant.another("globex")
    for name in (tenant.name, other.name):
        await cache.remember(name, "0", "free", {}, {AGENT: ContextAnswer(True)})
    await cache.forget([tenant.name])
    assert (await verdict(other))[0] == "accepted"
