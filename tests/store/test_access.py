"""The access question: who may use what, in one statement."""

import pytest

from orchestrator.store.records import AccessRecord, ContextRules
from orchestrator.store.store import Store

NOTHING = AccessRecord(tier=None, limits={}, granted={})


@pytest.fixture
async def acme(store: Store) -> Store:
    """Tenant acme (professional) owns agent-1 and collection-1; tenant globex (free) owns agent-2."""
    await store.create_tenant("acme", "professional", {"max_outstanding": 7})
    await store.create_tenant("globex", "free")
    await store.create_context("acme", "agent", "1")
    await store.create_context("acme", "collection", "1")
    await store.create_context("globex", "agent", "2")
    return store


async def test_own_contexts_are_granted(acme: Store) -> None:
    """A tenant may use what it owns, and nobody else's; tier and own limits come along."""
    record = await acme.access("acme", ["agent-1", "collection-1", "agent-2", "agent-3"])

    assert record == AccessRecord(
        tier="professional",
        limits={"max_outstanding": 7},
        granted={"agent-1": ContextRules(), "collection-1": ContextRules()},
    )


async def test_a_grant_opens_one_context_to_one_tenant(acme: Store) -> None:
    """A grant lets exactly that tenant use exactly that context, until it is revoked."""
    await acme.grant("globex", "agent-1")
    assert (await acme.access("globex", ["agent-1", "collection-1"])).granted == {"agent-1": ContextRules()}
    assert (await acme.access("acme", ["agent-1", "agent-2"])).granted == {"agent-1": ContextRules()}

    await acme.revoke("globex", "agent-1")
    assert (await acme.access("globex", ["agent-1"])).granted == {}


async def test_an_inactive_context_is_nobodys(acme: Store) -> None:
    """A context that is switched off is denied to its owner and to everyone it is granted to."""
    await acme.grant("globex", "agent-1")
    await acme.update_context("agent-1", active=False)

    assert (await acme.access("acme", ["agent-1"])).granted == {}
    assert (await acme.access("globex", ["agent-1"])).granted == {}


async def test_without_contexts_only_the_tenant_is_asked_about(acme: Store) -> None:
    """A socket asks about no context: the tier answers, nothing is granted."""
    assert await acme.access("globex", []) == AccessRecord(tier="free", limits={}, granted={})


async def test_unknown_and_suspended_tenants_look_alike(acme: Store) -> None:
    """A tenant that does not exist or is suspended has no tier and may use nothing."""
    assert await acme.access("nobody", ["agent-1"]) == NOTHING

    await acme.suspend_tenant("acme")
    assert await acme.access("acme", ["agent-1"]) == NOTHING

    await acme.resume_tenant("acme")
    assert (await acme.access("acme", ["agent-1"])).granted == {"agent-1": ContextRules()}


async def test_ids_are_compared_exactly(acme: Store) -> None:
    """Case and wildcards mean nothing special."""
    assert await acme.access("ACME", ["agent-1"]) == NOTHING
    assert (await acme.access("acme", ["AGENT-1", "agent-%", "agent-_"])).granted == {}
