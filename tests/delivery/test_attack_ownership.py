"""A session is its user's as long as anything of it is kept, also when its log is gone (contract §6)."""

import pytest
from tests.broker.tenant import Tenant, callback
from tests.delivery.parts import Parts

from orchestrator.auth.identity import Identity
from orchestrator.errors import Problem


def user(name: str) -> Identity:
    """A user of the tenant."""
    return Identity(tenant="acme", tier="free", user=name, session=None)


async def ended_task(tenant: Tenant, user: str) -> str:
    """A task of a session whose log has gone since."""
    task = await tenant.task(user=user)
    await tenant.deliver(callback(task, "completed", {"response": "a secret"}))
    tenant.client.delete(tenant.key("session:sess-1"), tenant.key("log:sess-1"))
    return task


async def test_task_of_a_session_that_is_gone(tenant: Tenant, parts: Parts) -> None:
    """Its ledger is shown to its user, and to nobody else."""
    task, ledgers = await ended_task(tenant, "alice"), parts.ledgers
    with pytest.raises(Problem, match="no such task"):
        await ledgers.of_task(user("bob"), task)
    assert (await ledgers.of_task(user("alice"), task)).status == "completed"


async def test_session_begun_anew(tenant: Tenant) -> None:
    """Another user can neither open it nor send in it, and its own user can."""
    await ended_task(tenant, "alice")
    assert (await tenant.open(user="bob"))[0].outcome == "session_denied"
    assert (await tenant.admit(user="bob")).outcome == "session_denied"
    assert (await tenant.open(user="alice"))[0].outcome == "opened"


async def test_task_whose_sender_named_nobody(tenant: Tenant) -> None:
    """A task belongs to the user of its session, though its own sender named none."""
    await tenant.open(user="alice")
    task = await ended_task(tenant, "")
    assert (await tenant.record(task))["owner"] == b"alice"
    assert (await tenant.open(user="bob"))[0].outcome == "session_denied"


async def test_session_of_nobody(tenant: Tenant) -> None:
    """A session that no user was named for is the first one's who is."""
    await ended_task(tenant, "")
    assert (await tenant.open(user="bob"))[0].outcome == "opened"
    assert (await tenant.open(user="alice"))[0].outcome == "session_denied"
