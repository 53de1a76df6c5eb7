"""Agents, workflows and collections in the store."""

import asyncio

import pytest
from sqlalchemy import text

from orchestrator.store.errors import AlreadyExists, NotFound, StoreUnavailable
from orchestrator.store.store import Store


@pytest.fixture
async def tenants(store: Store) -> Store:
    """Three tenants: acme, globex, initech."""
    for tenant_id in ("acme", "globex", "initech"):
        await store.create_tenant(tenant_id, "free")
    return store


async def test_ids_are_stored_in_canonical_form(tenants: Store) -> None:
    """`123` and `agent-123` are one agent, whoever asks for it second is refused."""
    assert (await tenants.create_context("acme", "agent", "123")).record.id == "agent-123"

    with pytest.raises(AlreadyExists, match="agent agent-123 exists already"):
        await tenants.create_context("globex", "agent", "agent-123")
    assert [record.tenant_id for record in await tenants.list_contexts()] == ["acme"]


async def test_the_database_itself_refuses_other_forms(tenants: Store) -> None:
    """An id without the prefix of its type cannot be stored, whichever program tries."""
    statement = text("INSERT INTO contexts (id, type, tenant_id) VALUES ('123', 'agent', 'acme')")

    with pytest.raises(StoreUnavailable, match="ck_contexts_canonical"):
        await tenants.database.write(lambda connection: connection.execute(statement))


async def test_types_do_not_collide(tenants: Store) -> None:
    """An agent and a workflow may bear the same name."""
    await tenants.create_context("acme", "agent", "1")
    await tenants.create_context("globex", "workflow", "1")

    assert [record.id for record in await tenants.list_contexts()] == ["agent-1", "workflow-1"]


async def test_an_owner_must_exist(tenants: Store) -> None:
    """A context of an unknown tenant is refused, and so is a grant to one."""
    with pytest.raises(NotFound, match="There is no tenant nobody"):
        await tenants.create_context("nobody", "agent", "1")

    await tenants.create_context("acme", "agent", "1")
    with pytest.raises(NotFound, match="There is no tenant nobody"):
        await tenants.grant("nobody", "agent-1")


async def test_changes_name_owner_and_grantees(tenants: Store) -> None:
    """Everyone whose access answers may change is named: the owner, the others, the one revoked."""
    assert (await tenants.create_context("acme", "agent", "1")).affected == {"acme"}
    assert (await tenants.grant("globex", "agent-1")).affected == {"acme", "globex"}
    assert (await tenants.update_context("agent-1", active=False)).affected == {"acme", "globex"}

    revoked = await tenants.revoke("globex", "agent-1")
    assert revoked.affected == {"acme", "globex"}
    assert revoked.record.granted_to == ()


async def test_granting_again_changes_nothing(tenants: Store) -> None:
    """A grant is idempotent, and the owner needs none."""
    await tenants.create_context("acme", "agent", "1")
    await tenants.grant("globex", "agent-1")

    assert (await tenants.grant("globex", "agent-1")).record.granted_to == ("globex",)
    assert (await tenants.grant("acme", "agent-1")).record.granted_to == ("globex",)


async def test_grants_at_the_same_time_do_not_collide(tenants: Store) -> None:
    """Two operators who grant the same to the same both succeed."""
    await tenants.create_context("acme", "agent", "1")
    await asyncio.gather(*(tenants.grant("globex", "agent-1") for _ in range(4)))

    (record,) = await tenants.list_contexts()
    assert record.granted_to == ("globex",)


async def test_revoking_what_was_never_granted_is_said(tenants: Store) -> None:
    """A revoke that finds no grant names it, so that a typo is found."""
    await tenants.create_context("acme", "agent", "1")

    with pytest.raises(NotFound, match="There is no grant of agent-1 to globex"):
        await tenants.revoke("globex", "agent-1")


async def test_the_list_is_what_a_tenant_may_use(tenants: Store) -> None:
    """A tenant's list has its own and what is granted to it; a type narrows it."""
    await tenants.create_context("acme", "agent", "1")
    await tenants.create_context("acme", "workflow", "1")
    await tenants.create_context("globex", "agent", "2")
    await tenants.grant("globex", "agent-1")
    await tenants.grant("initech", "agent-1")

    listed = await tenants.list_contexts("globex")
    assert [record.id for record in listed] == ["agent-1", "agent-2"]
    assert listed[0].granted_to == ("globex", "initech")
    assert [record.id for record in await tenants.list_contexts("acme", "workflow")] == ["workflow-1"]
    assert await tenants.list_contexts("initech", "collection") == ()


async def test_a_page_of_the_list(tenants: Store) -> None:
    """So many behind an id, in the order of bytes, of what is asked for; grants come with their contexts."""
    for name in ("b", "a", "_", "B"):
        await tenants.create_context("acme", "agent", name)
        await tenants.grant("globex", f"agent-{name}")
    await tenants.create_context("acme", "workflow", "a")
    await tenants.create_context("globex", "agent", "Z")

    first = await tenants.list_contexts("acme", "agent", limit=2)
    assert [record.id for record in first] == ["agent-B", "agent-_"]
    rest = await tenants.list_contexts("acme", "agent", after="agent-_", limit=2)
    assert [record.id for record in rest] == ["agent-a", "agent-b"]
    assert {record.granted_to for record in (*first, *rest)} == {("globex",)}
    assert await tenants.list_contexts("acme", "agent", after="agent-b") == ()


async def test_an_unknown_context_is_named(tenants: Store) -> None:
    """Changing, granting and revoking what does not exist says what is missing."""
    for change in (
        tenants.update_context("agent-9", active=True),
        tenants.grant("acme", "agent-9"),
        tenants.revoke("acme", "agent-9"),
    ):
        with pytest.raises(NotFound, match="There is no agent agent-9"):
            await change
