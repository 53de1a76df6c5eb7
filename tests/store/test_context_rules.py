"""The turn policy and the number of attempts of a context."""

from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.protocol.turn_policies import TURN_POLICIES
from orchestrator.store.errors import StoreUnavailable
from orchestrator.store.records import ContextRules
from orchestrator.store.store import Store
from orchestrator.store.tables import CONTEXTS


@pytest.fixture
async def agent(store: Store) -> str:
    """Agent agent-1 of tenant acme, without rules."""
    await store.create_tenant("acme", "free")
    return (await store.create_context("acme", "agent", "1")).record.id


async def test_none_unless_given(store: Store, agent: str) -> None:
    """A context has no rules of its own, or those that it was created with."""
    record = await store.get_context(agent)
    assert (record.turn_policy, record.max_attempts) == (None, None)
    made = await store.create_context("acme", "workflow", "1", turn_policy="merge", max_attempts=1)
    assert (made.record.turn_policy, made.record.max_attempts) == ("merge", 1)


@pytest.mark.parametrize("policy", TURN_POLICIES)
async def test_each_policy_can_be_set(store: Store, agent: str, policy: Any) -> None:
    """What is given is set, what is not stays, None goes back to the default."""
    await store.update_context(agent, turn_policy=policy, max_attempts=7)
    record = (await store.update_context(agent, active=False)).record
    assert (record.active, record.turn_policy, record.max_attempts) == (False, policy, 7)
    record = (await store.update_context(agent, turn_policy=None)).record
    assert (record.active, record.turn_policy, record.max_attempts) == (False, None, 7)


@pytest.mark.parametrize(
    ("column", "value"), [("turn_policy", "never"), ("max_attempts", 0), ("max_attempts", 101)]
)
async def test_the_database_itself_refuses_others(store: Store, agent: str, column: str, value: Any) -> None:
    """Neither an unknown policy nor a number out of 1 to 100 can be stored, whichever program tries."""
    statement = update(CONTEXTS).where(CONTEXTS.c.id == agent).values({column: value})
    with pytest.raises(StoreUnavailable, match=f"ck_contexts_{column}"):
        await store.database.write(lambda connection: connection.execute(statement))


async def test_the_audit_has_both(store: Store, agent: str) -> None:
    """The entry of a change tells the rules before and after; setting what is set is none."""
    for _ in range(2):
        await store.update_context(agent, turn_policy="queue", max_attempts=5, actor="ann")
    newest, created = await store.audit("acme", limit=2)
    assert created.action == "agents.create"
    assert newest.before is not None
    assert newest.after is not None
    rules = ("turn_policy", "max_attempts")
    assert [newest.before[name] for name in rules] == [None, None]
    assert [newest.after[name] for name in rules] == ["queue", 5]


async def test_the_access_answer_has_them(store: Store, agent: str) -> None:
    """Whoever may use a context learns its rules with the answer."""
    await store.update_context(agent, turn_policy="latest", max_attempts=2)
    assert (await store.access("acme", [agent])).granted == {agent: ContextRules("latest", 2)}
