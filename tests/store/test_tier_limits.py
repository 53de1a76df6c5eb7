"""Limits of tiers in the store."""

import asyncio

from orchestrator.store.store import Store


async def test_only_what_was_changed_is_there(store: Store) -> None:
    """A new database changes no tier, and a change is one tier's."""
    assert await store.tier_limits() == {}

    change = await store.set_tier_limits("free", {"weight": 3, "max_outstanding": 7})
    assert (change.record.tier, change.record.limits) == ("free", {"weight": 3, "max_outstanding": 7})
    assert await store.tier_limits() == {"free": {"weight": 3, "max_outstanding": 7}}


async def test_limits_change_one_by_one(store: Store) -> None:
    """What is not named stays, and None takes a limit back."""
    await store.set_tier_limits("free", {"weight": 3, "max_outstanding": 7})
    await store.set_tier_limits("free", {"weight": None, "max_connections": 9})
    assert await store.tier_limits() == {"free": {"max_outstanding": 7, "max_connections": 9}}

    await store.set_tier_limits("free", {"max_outstanding": None, "max_connections": None})
    assert await store.tier_limits() == {}


async def test_changes_are_noted(store: Store) -> None:
    """The entry names the tier, and no tenant."""
    await store.set_tier_limits("free", {"weight": 3}, actor="ann")
    await store.set_tier_limits("free", {"weight": None}, actor="bob")

    back, there = await store.audit()
    assert (there.actor, there.action, there.tenant_id, there.target) == ("ann", "limits.set", None, "free")
    assert there.before == back.after == {"tier": "free", "limits": {}}
    assert there.after == back.before == {"tier": "free", "limits": {"weight": 3}}


async def test_changes_at_once_are_all_kept(store: Store) -> None:
    """Two operators who change different limits of a tier do not undo each other."""
    names = ("weight", "max_outstanding", "max_connections", "messages_per_second")
    await asyncio.gather(*(store.set_tier_limits("free", {name: 2}) for name in names))

    assert await store.tier_limits() == {"free": dict.fromkeys(names, 2)}
