"""task.lua: a task's record is shown to whoever may see it, and to nobody else (contract §3, §6)."""

import pytest
from tests.broker.tenant import Tenant


@pytest.mark.parametrize(
    ("user", "session", "seen"),
    [
        ("", "", True),
        ("ann", "", True),
        ("ann", "sess-1", True),
        ("bob", "", False),
        ("bob", "sess-1", False),
        ("ann", "sess-2", False),
        ("", "sess-2", False),
    ],
)
async def test_who_sees_it(tenant: Tenant, user: str, session: str, seen: bool) -> None:
    """Its session's user does, and an operator; another user and a token for another session do not."""
    task = await tenant.task(user="ann")
    record = await tenant.tasks.record(tenant.name, task, user, session)
    assert (record is not None) is seen
    if record is not None:
        assert record["session"] == b"sess-1"


async def test_when_the_session_is_gone(tenant: Tenant) -> None:
    """The task itself says whose it was."""
    task = await tenant.task(user="ann")
    tenant.client.delete(tenant.key("session:sess-1"))
    assert await tenant.tasks.record(tenant.name, task, "ann")
    assert await tenant.tasks.record(tenant.name, task, "bob") is None


async def test_a_session_that_was_claimed_since(tenant: Tenant) -> None:
    """A task whose sender named nobody belongs to the user who came first after."""
    task = await tenant.task()
    assert await tenant.tasks.record(tenant.name, task, "bob")
    await tenant.open(user="ann")
    assert await tenant.tasks.record(tenant.name, task, "bob") is None


async def test_no_such_task(tenant: Tenant) -> None:
    """A task that does not exist has no record, for nobody."""
    for user in ("", "ann"):
        assert await tenant.tasks.record(tenant.name, "task-none", user) is None
