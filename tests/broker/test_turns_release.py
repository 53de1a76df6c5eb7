"""next_turn.lua: held messages go one after the other, and none is held for ever (contract §3)."""

import pytest
from tests.broker.conversation import OTHER, Conversation
from tests.broker.tenant import SECOND, Tenant

PATIENCE = 10 * SECOND


@pytest.fixture
def talk(tenant: Tenant) -> Conversation:
    """An empty session."""
    return Conversation(tenant)


def overlook(talk: Conversation) -> None:
    """Time passes in which nobody let the held messages go."""
    key = talk.tenant.key("held")
    for task, score in talk.tenant.client.zrange(key, 0, -1, withscores=True):
        talk.tenant.client.zadd(key, {task: score - 2 * PATIENCE})


async def test_one_after_the_other(talk: Conversation) -> None:
    """In the order in which they were accepted, whatever their agents, each when the one before has ended."""
    running = await talk.started()
    held = [await talk.say("queue", agent) for agent in (OTHER, "agent-123", OTHER)]
    for before, following, agent in zip([running, *held], held, (OTHER, "agent-123", OTHER), strict=False):
        assert await talk.advance() == ""
        (ended,) = (await talk.report(before, "completed")).ended
        assert ended.holds
        assert await talk.advance() == following
        assert talk.take(agent) == following.encode()
        await talk.report(following, "running")
    (ended,) = (await talk.report(held[-1], "completed")).ended
    assert not ended.holds
    assert (talk.held(), talk.count(), await talk.advance()) == ([], 0, "")


async def test_viewers_are_told(talk: Conversation) -> None:
    """When its turn comes there is another `queued`, without what it waited for."""
    running, held = await talk.started(), await talk.say("queue")
    await talk.report(running, "completed")
    await talk.advance()
    last = (await talk.tenant.frames())[-1]
    assert (last["task_id"], last["data"]) == (held, {"status": "queued", "attempt": 1})


async def test_waits_for_every_active_one(talk: Conversation) -> None:
    """Two that run beside each other are both waited for."""
    one, two = await talk.started(), await talk.started("parallel", OTHER)
    held = await talk.say("queue")
    await talk.report(one, "completed")
    assert await talk.advance() == ""
    await talk.report(two, "failed")
    assert await talk.advance() == held


async def test_not_pushed_yet_is_active(talk: Conversation) -> None:
    """What is recorded and on its way to the queue counts, or two would go at once."""
    await talk.admit(talk.request("parallel"), pushes=False)
    await talk.say("queue")
    assert await talk.advance() == ""


async def test_each_ending_frees(talk: Conversation) -> None:
    """A cancellation and a deadline let the next one go as an answer does, and say so."""
    running, held = await talk.started(), await talk.say("queue")
    cancelled, _ = await talk.tenant.tasks.cancel(talk.tenant.name, running, "")
    assert [task.holds for task in cancelled.ended] == [True]
    assert await talk.advance() == held
    last = await talk.say("queue")
    talk.tenant.client.hset(talk.tenant.key(f"task:{held}"), "deadline", 1)
    talk.tenant.client.zadd(talk.tenant.key("outstanding"), {held: 1})
    tended, errands = await talk.tenant.tasks.tend(talk.tenant.name)
    await talk.run(errands)
    assert [(task.task, task.status, task.holds) for task in tended.ended] == [(held, "timeout", True)]
    assert await talk.advance() == last


async def test_suspended_ones_free_nothing(talk: Conversation) -> None:
    """All of a suspended tenant's tasks end: none goes to its agent for a moment."""
    running = await talk.started()
    await talk.say("queue")
    cancelled, _ = await talk.tenant.tasks.cancel(talk.tenant.name, running, "", "suspended")
    assert [task.holds for task in cancelled.ended] == [False]


async def test_cancelled_while_held(talk: Conversation) -> None:
    """It ends like any other; nothing of it goes to a queue, and the others keep their order."""
    running = await talk.started()
    first, second = await talk.say("queue"), await talk.say("queue")
    cancelled, errands = await talk.tenant.tasks.cancel(talk.tenant.name, first, "")
    assert (cancelled.outcome, list(errands)) == ("cancelled", [])
    assert (talk.held(), talk.count()) == ([second], 1)
    await talk.report(running, "completed")
    assert await talk.advance() == second


async def test_its_deadline_runs(talk: Conversation) -> None:
    """A held task whose time is over ends as timeout."""
    await talk.started()
    held = await talk.say("queue", timeout=-1)
    await talk.tenant.tasks.tend(talk.tenant.name)
    assert await talk.codes() == {held: "deadline"}
    assert (talk.held(), talk.count()) == ([], 0)


async def test_twice(talk: Conversation) -> None:
    """However many replicas note the ending, one message goes, and it is pushed once."""
    running = await talk.started()
    first, second = await talk.say("queue"), await talk.say("queue")
    await talk.report(running, "completed")
    assert [await talk.advance() for _ in range(3)] == [first, "", ""]
    assert talk.queued() == [first.encode()]
    assert talk.held() == [second]


async def test_released_and_not_pushed(talk: Conversation) -> None:
    """Who let it go and died before the push leaves it to the agenda."""
    running, held = await talk.started(), await talk.say("queue")
    await talk.report(running, "completed")
    turn, _ = await talk.turns.advance(talk.tenant.name, talk.session)
    assert turn.released == held
    talk.tenant.client.zadd(talk.tenant.key("unpushed"), {held: 1})
    _, errands = await talk.tenant.tasks.tend(talk.tenant.name)
    await talk.run(errands)
    assert talk.queued() == [held.encode()]


async def test_not_released(talk: Conversation) -> None:
    """Who noted the ending and died before it let anything go: the next look names the session."""
    running = await talk.started()
    await talk.say("queue")
    await talk.report(running, "completed")
    early, _ = await talk.tenant.tasks.tend(talk.tenant.name)
    assert early.turns == []
    assert early.next <= talk.tenant.broker.clock.now() + PATIENCE
    overlook(talk)
    tended, _ = await talk.tenant.tasks.tend(talk.tenant.name)
    assert tended.turns == [talk.session]
    assert (await talk.tenant.tasks.tend(talk.tenant.name))[0].turns == []


async def test_session_that_was_lost(talk: Conversation) -> None:
    """A session whose hash is gone forgot that it holds; the look finds it, and the count is right again."""
    running = await talk.started()
    first, second = await talk.say("queue"), await talk.say("queue")
    talk.tenant.client.delete(talk.tenant.key(f"session:{talk.session}"))
    (ended,) = (await talk.report(running, "completed")).ended
    assert not ended.holds
    overlook(talk)
    assert (await talk.tenant.tasks.tend(talk.tenant.name))[0].turns == [talk.session]
    assert await talk.advance() == first
    assert talk.count() == 1
    await talk.report(first, "completed")
    assert await talk.advance() == second


async def test_record_that_was_lost(talk: Conversation) -> None:
    """A held task without a record is none, and holds up nobody behind it."""
    running = await talk.started()
    lost, second = await talk.say("queue"), await talk.say("queue")
    talk.tenant.client.delete(talk.tenant.key(f"task:{lost}"))
    await talk.report(running, "completed")
    assert await talk.advance() == second
    overlook(talk)
    await talk.tenant.tasks.tend(talk.tenant.name)
    assert talk.held() == []


async def test_unknown_session(talk: Conversation) -> None:
    """A session without tasks has no turns, and asking makes nothing."""
    assert await talk.advance() == ""
    assert talk.tenant.dump() == {}
